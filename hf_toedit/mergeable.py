"""Statistics over rows that every task shares, merged exactly and in any order."""

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
"""Reasons for which non-empty texts are not read."""


class Statistics(Shown):
    """Base of the statistics of every task: counts over rows.

    Merging is exact and does not depend on order: whole numbers are summed, and of texts the alphabetically first is
    kept. Each subclass is a dataclass that declares the fields below, in the order in which they are written.

    Attributes:
        num_rows: Number of rows seen.
        num_documents: Number of texts seen; a row may contain several.
        num_skipped: Number of texts that were not read, by cause.
        skip_reasons: One error message of the model or its chat template, by cause: the alphabetically first.
        num_tokens: Number of tokens of the texts read.
        seconds: Wall-clock time by stage; the only figures that differ from run to run.
    """

    _written_if_any: ClassVar[tuple[str, ...]] = ("skip_reasons",)
    """Fields that are written only if they are not empty."""

    num_rows: int
    num_documents: int
    num_skipped: dict[str, int]
    skip_reasons: dict[str, str]
    num_tokens: int
    seconds: dict[str, float]

    @property
    def headline(self) -> str:
        """The most important figures, in a few words."""
        raise NotImplementedError

    @property
    def amount(self) -> str:
        """The number of documents and tokens, in words."""
        documents = f"{self.num_documents:,} document{'' if self.num_documents == 1 else 's'}"
        if skipped := sum(self.num_skipped.values()):
            documents += f" ({skipped:,} skipped)"
        return f"{documents}, {self.num_tokens:,} token{'' if self.num_tokens == 1 else 's'}"

    @property
    def tokens_per_second(self) -> float:
        """Tokens divided by the time of all stages."""
        return ratio(self.num_tokens, sum(self.seconds.values()))

    @property
    def num_read(self) -> int:
        """Number of texts that the model read."""
        return self.num_documents - sum(self.num_skipped.values())

    @property
    def is_unreadable(self) -> bool:
        """Whether no text could be read although there were texts to read."""
        return not self.num_read and any(self.num_skipped.get(cause) for cause in UNREADABLE)

    def add_skipped(self, cause: str) -> None:
        """Count a text that was not read."""
        self.num_documents += 1
        self.num_skipped[cause] = self.num_skipped.get(cause, 0) + 1

    def add_skip_reason(self, cause: str, reason: str) -> None:
        """Keep one reason per cause for a text that was not read: the alphabetically first."""
        self.skip_reasons[cause] = min(reason, self.skip_reasons.get(cause, reason))

    def merge(self, other: Self) -> Self:
        """Return a new object with the counts of both."""
        merged = type(self)()
        for entry in _fields(self):
            setattr(merged, entry.name, _sum(getattr(self, entry.name), getattr(other, entry.name)))
        return merged

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """Return the sum of any number of statistics."""
        total = cls()
        for part in parts:
            total = total.merge(part)
        return total

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_json` makes an equal object."""
        values = {entry.name: getattr(self, entry.name) for entry in _fields(self)}
        values = {name: value for name, value in values.items() if value or name not in self._written_if_any}
        return {name: _json_object(value) if isinstance(value, dict) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read the output of `to_json`.

        Raises:
            UsageError: The values are not in that format.
        """
        return from_json(values, cls)

    def progress(self) -> dict[str, int]:
        """Return the counts to show during a run: `num_rows`, `num_tokens` and counts of the task."""
        return {"num_rows": self.num_rows, "num_tokens": self.num_tokens}

    def summary(self) -> dict[str, Any]:
        """Return the figures of a report, including rates; undefined figures are absent."""
        raise NotImplementedError


def ratio(part: float, whole: float) -> float:
    """Return `part / whole`, or 0 if `whole` is 0."""
    return part / whole if whole else 0.0


def _fields(statistics: Any) -> tuple[Field[Any], ...]:
    """Return the fields of the dataclass that a subclass is."""
    return fields(statistics)


def _json_object(value: dict[Any, Any]) -> dict[str, Any]:
    """Return a dictionary with its keys as strings, in ascending order of the keys."""
    return {str(key): value[key] for key in sorted(value)}


def _sum(mine: Any, theirs: Any) -> Any:
    if isinstance(mine, dict):
        both = {name: _sum(mine[name], theirs[name]) for name in mine.keys() & theirs.keys()}
        return type(mine)({**mine, **theirs, **both})
    if isinstance(mine, str):
        return min(mine, theirs)
    return [a + b for a, b in zip(mine, theirs, strict=True)] if isinstance(mine, list) else mine + theirs
