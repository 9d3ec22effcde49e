"""What is counted of rows, whatever is done to them: statistics that merge in any order, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec import Meta

from hf_toedit.checked import from_json
from hf_toedit.display import Shown

if TYPE_CHECKING:
    from typing_extensions import Self

Count = Annotated[int, Meta(ge=0)]

UNREADABLE = ("prior_failed", "scorer_failed", "template_failed")
"""Causes for which texts that hold something are passed through unread."""


class Statistics(Shown):
    """What is counted of rows, whatever is done to them: the base of the statistics of every task.

    Merging has no order, and is exact: sums of whole numbers, and the first of texts in the order of the alphabet. The
    fields below are declared by each subclass, a dataclass, in the order in which they are written.

    Attributes:
        num_rows: rows seen.
        num_documents: texts seen; a row may hold several.
        num_skipped: texts that were not read, by cause.
        skip_reasons: what the model or its chat template said of one such text, by cause: the first in the order of
            the alphabet.
        num_tokens: tokens of the texts read.
        seconds: wall-clock time by stage; the only figures that differ from run to run.
    """

    _written_if_any: ClassVar[tuple[str, ...]] = ("skip_reasons",)
    """Fields that are written only where they hold something."""

    num_rows: int
    num_documents: int
    num_skipped: dict[str, int]
    skip_reasons: dict[str, str]
    num_tokens: int
    seconds: dict[str, float]

    @property
    def headline(self) -> str:
        """The most important figures in a few words."""
        raise NotImplementedError

    @property
    def amount(self) -> str:
        """How many documents and tokens, in words."""
        documents = f"{self.num_documents:,} document{'' if self.num_documents == 1 else 's'}"
        if skipped := sum(self.num_skipped.values()):
            documents += f" ({skipped:,} skipped)"
        return f"{documents}, {self.num_tokens:,} token{'' if self.num_tokens == 1 else 's'}"

    @property
    def tokens_per_second(self) -> float:
        """Tokens by the time of all stages."""
        return ratio(self.num_tokens, sum(self.seconds.values()))

    @property
    def num_read(self) -> int:
        """Texts that the model read."""
        return self.num_documents - sum(self.num_skipped.values())

    @property
    def is_unreadable(self) -> bool:
        """Whether no text could be read, and not for want of texts alone."""
        return not self.num_read and any(self.num_skipped.get(cause) for cause in UNREADABLE)

    def add_skipped(self, cause: str) -> None:
        """Count a text that is not read."""
        self.num_documents += 1
        self.num_skipped[cause] = self.num_skipped.get(cause, 0) + 1

    def add_skip_reason(self, cause: str, reason: str) -> None:
        """Keep what was said of a text that is not read, unless it is known of another."""
        self.skip_reasons[cause] = min(reason, self.skip_reasons.get(cause, reason))

    def merge(self, other: Self) -> Self:
        """A new object with the counts of both."""
        merged = type(self)()
        for entry in _fields(self):
            setattr(merged, entry.name, _sum(getattr(self, entry.name), getattr(other, entry.name)))
        return merged

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """The sum of any number of them."""
        total = cls()
        for part in parts:
            total = total.merge(part)
        return total

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes an equal object."""
        values = {entry.name: getattr(self, entry.name) for entry in _fields(self)}
        values = {name: value for name, value in values.items() if value or name not in self._written_if_any}
        return {name: _json_object(value) if isinstance(value, dict) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read what `to_json` wrote.

        Raises:
            UsageError: It did not.
        """
        return from_json(values, cls)

    def progress(self) -> dict[str, int]:
        """The counts that are shown while rows are done: `num_rows`, `num_tokens` and, of a task, others."""
        return {"num_rows": self.num_rows, "num_tokens": self.num_tokens}

    def summary(self) -> dict[str, Any]:
        """The figures of a report, rates included; absent where they are not defined."""
        raise NotImplementedError


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0


def _fields(statistics: Any) -> tuple[Field[Any], ...]:
    """Of the dataclass that a subclass is."""
    return fields(statistics)


def _json_object(value: dict[Any, Any]) -> dict[str, Any]:
    """In ascending order of the keys, which JSON has as strings."""
    return {str(key): value[key] for key in sorted(value)}


def _sum(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, dict):
        both = {name: _sum(mine[name], theirs[name]) for name in mine.keys() & theirs.keys()}
        return type(mine)({**mine, **theirs, **both})
    if isinstance(mine, str):
        return min(mine, theirs)
    return [a + b for a, b in zip(mine, theirs, strict=True)] if isinstance(mine, list) else mine + theirs
