"""User-defined scorers: a class given as `module:Class`, and its runner."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from hf_toedit.checked import names_class
from hf_toedit.editing.alignment import ELIGIBLE, Document
from hf_toedit.errors import PriorError, RunError, UsageError
from hf_toedit.extensions import made, own_class, revision_of
from hf_toedit.scorers.scorer import Score
from hf_toedit.scorers.whole_rows import Tokenized, WholeRowScorer
from hf_toedit.scorers.without_model import WithoutModelConfig

if TYPE_CHECKING:
    from typing_extensions import Self

FieldType = Literal["float32", "float64", "int32", "int64"]

_WORD = re.compile(r"\S+")


class OwnScorer(ABC):
    """Base class of user-defined scorers.

    It is constructed without arguments, once per worker. A run pins it by the attribute `revision` of its class or,
    without that attribute, by a fingerprint of its module's source file.

    Attributes:
        fields: Its fields and their types: `float32`, `float64`, `int32` or `int64`.
        kind: Name of its field in the struct of scores; by default the class name in lower case.
    """

    fields: ClassVar[Mapping[str, str]]
    kind: ClassVar[str] = ""

    @abstractmethod
    def score_texts(self, texts: list[str]) -> list[dict[str, float]]:
        """Score any number of texts; the result for one must not depend on the others.

        Args:
            texts: One text per row: its context, then its texts in order, with a blank line between them.

        Returns:
            A number for each field of each text; None, NaN and infinity become null.
        """


@dataclass(frozen=True)
class OwnScorerConfig(WithoutModelConfig):
    """A user-defined scorer. Its tokens are words, separated by whitespace.

    Attributes:
        name: `module:Class`, derived from `OwnScorer`.
        kind: See `OwnScorer`; empty until the settings are pinned, like the following attributes.
        pinned_fields: Names and types of its fields, so that a run can be read where the class is not installed.
        revision: Revision or fingerprint of the class.
    """

    name: str
    kind: str = ""  # type: ignore[misc]  # known when the class is
    pinned_fields: tuple[tuple[str, FieldType], ...] = ()
    revision: str = ""

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        if not names_class(self.name):
            raise UsageError(f"scorer {self.name!r} is not known. A class of your own is named as module:Class.")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return dict(self.pinned_fields)

    @property
    def own_code(self) -> dict[str, str]:
        """See `ScorerConfig`."""
        return {"scorer": self.name}

    def pinned(self) -> Self:
        """See `ScorerConfig`; imports the class without constructing it.

        Raises:
            UsageError: There is no such class, or it is not a scorer.
        """
        cls = own_class(self.name, "scorer")
        if not issubclass(cls, OwnScorer):
            raise UsageError(f"scorer {self.name!r} must be derived from {OwnScorer.__module__}.OwnScorer.")
        fields = getattr(cls, "fields", None)
        if not (isinstance(fields, Mapping) and fields and all(_is_field(*entry) for entry in fields.items())):
            raise UsageError(
                f"the fields of scorer {self.name!r} must be names with one of {', '.join(get_args(FieldType))} each. "
                f"Fix its class."
            )
        kind = cls.kind or cls.__name__.lower()
        return replace(self, kind=kind, pinned_fields=tuple(fields.items()), revision=revision_of(cls))

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ("kind", "pinned_fields", "revision")

    def check_planned(self, planned: Self) -> None:
        """See `ScorerConfig`."""
        if self.revision != planned.revision:
            raise RunError(
                f"scorer {self.name!r} is not the one that was planned: its code has changed. Put the old code back, "
                f"or plan a new run."
            )

    def scorer(self) -> OwnScorerRunner:
        """See `WithoutModelConfig`."""
        return OwnScorerRunner(made(self.name, {}, OwnScorer, "scorer"), self.name, self.fields)  # type: ignore[type-abstract]


class OwnScorerRunner(WholeRowScorer):
    """Runs a user-defined scorer; see `Scorer`."""

    def __init__(self, scorer: OwnScorer, name: str, fields: Mapping[str, str]) -> None:
        """Store the scorer.

        Args:
            scorer: The user-defined scorer.
            name: `module:Class`.
            fields: Its fields and their types.
        """
        self._scorer = scorer
        self.name = name
        self.fields = fields

    def _tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        return [Tokenized(text, [_words(text)]) for text in texts]

    def _answers(self, read: Sequence[Tokenized], reasons: list[str]) -> list[dict[str, Score] | None]:
        answers: Any = self._scorer.score_texts([entry.text for entry in read])
        if not isinstance(answers, Sequence) or len(answers) != len(read):
            count = f"{len(answers)}" if isinstance(answers, Sequence) else f"a {type(answers).__name__}"
            raise self._wrong(f"a list of {len(read)} answers, one per text, not {count}")
        return [self._values(answer) for answer in answers]

    def _values(self, answer: Any) -> dict[str, Score]:
        if not isinstance(answer, Mapping) or answer.keys() != self.fields.keys():
            has = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else f"a {type(answer).__name__}"
            raise self._wrong(f"{', '.join(self.fields)} for each text, not {has}")
        return {name: self._value(name, answer[name], kind) for name, kind in self.fields.items()}

    def _value(self, name: str, value: Any, kind: str) -> Score:
        """Convert a value to the type of its column."""
        if value is None:
            return None
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number:
            raise self._wrong(f"a number as {name!r}, not {value!r:.80}")
        dtype = np.dtype(kind)
        if not np.isfinite(float(value)):
            return None
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                number = float(dtype.type(value))
            return number if np.isfinite(number) else None
        limits = np.iinfo(dtype)
        if int(value) != value or not limits.min <= int(value) <= limits.max:
            raise self._wrong(f"a whole number of {kind} as {name!r}, not {value!r:.80}")
        return int(value)

    def _wrong(self, wanted: str) -> PriorError:
        return PriorError(f"score_texts of scorer {self.name!r} must return {wanted}. Fix its class.")


def _is_field(name: Any, kind: Any) -> bool:
    return isinstance(name, str) and bool(name) and kind in get_args(FieldType)


def _words(text: str) -> Document:
    """Return the words of a text as tokens without ids."""
    spans = np.array([word.span() for word in _WORD.finditer(text)], np.int32).reshape(-1, 2)
    count = len(spans)
    return Document(text, np.zeros(count, np.int32), spans[:, 0], spans[:, 1], np.full(count, ELIGIBLE, np.uint8))
