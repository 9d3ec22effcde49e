"""Verifiers: scorers that check the text of a row against a reference in the row.

Feng et al. 2024, "Beyond Model Collapse: Scaling Up with Synthesized Data Requires Reinforcement", arXiv 2406.07515.
"""

from __future__ import annotations

import math
import unicodedata
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pyarrow as pa
from msgspec import Meta

from hf_toedit.errors import SourceError, UsageError
from hf_toedit.rows.nested import ITEMS, find, values_at
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.numbers import math_answer, numbers
from hf_toedit.scorers.scorer import Prepared, RowScores, Score
from hf_toedit.scorers.without_model import ModelFreeScorer, WithoutModelConfig

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

PASSED = "passed"
"""Field with the verdict on a text: 1 for right, 0 for wrong."""

_NO_REFERENCE = "no_reference"
"""Skip cause of texts whose row has no reference."""

_UNUSABLE = "unusable_reference"
"""Skip cause of texts whose reference cannot be compared, for example because it contains no number."""

_BETWEEN = "\n\n"
"""Separator of several texts of a row."""


@dataclass(frozen=True)
class VerifierConfig(WithoutModelConfig):
    """Settings of a verifier that compares the texts of a row with a reference.

    The texts are those of the row without their context. A row without a reference has no score.

    Attributes:
        reference_column: A column of strings or numbers, or a field in it.
    """

    reference_column: str = ""

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        if not self.reference_column.strip():
            raise UsageError(f"{self.kind} compares texts with a reference. Name its column with --reference-column.")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return {PASSED: "int8"}

    def check(self, features: Features) -> None:
        """See `ScorerConfig`."""
        path = find(features.arrow_schema, self.reference_column)
        if ITEMS in path.steps or pa.types.is_nested(path.kind):
            raise SourceError(
                f"column {self.reference_column!r} does not hold one reference per row. Name another one with "
                f"--reference-column."
            )

    def scorer(self) -> Verifier:
        """See `WithoutModelConfig`."""
        return Verifier(self)

    @abstractmethod
    def verify(self, text: str, reference: str) -> dict[str, Score] | None:
        """Return the values of a text; None if the reference cannot be used."""


@dataclass(frozen=True)
class ExactConfig(VerifierConfig):
    """Accepts a text equal to the reference after stripping whitespace and Unicode normalization (NFC)."""

    kind: ClassVar[str] = "exact"

    def verify(self, text: str, reference: str) -> dict[str, Score]:
        """See `VerifierConfig`."""
        return {PASSED: int(_plain(text) == _plain(reference))}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True)
class NumericConfig(VerifierConfig):
    """Accepts a text whose numbers are near those of the reference, one by one, in order.

    `error` is the relative L1 error sum |a - b| / sum |b| between the text's numbers a and the reference's b, which
    Feng et al. 2024 (Appendix B) use for predicted eigenvalues. A text with a different number of numbers is wrong and
    has no error; a text with an infinite error has none either.

    Attributes:
        tolerance: Largest accepted error (Appendix B: 0.005, 0.01, 0.02).
    """

    kind: ClassVar[str] = "numeric"

    tolerance: Annotated[float, Meta(ge=0)] = 0.02

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return {PASSED: "int8", "error": "float64"}

    def verify(self, text: str, reference: str) -> dict[str, Score] | None:
        """See `VerifierConfig`."""
        wanted, found = numbers(reference), numbers(text)
        if not wanted or not all(map(math.isfinite, wanted)):
            return None
        if len(found) != len(wanted):
            return {PASSED: 0, "error": None}
        difference = sum(abs(a - b) for a, b in zip(found, wanted, strict=True))
        size = sum(map(abs, wanted))
        error = difference / size if size else math.inf if difference else 0.0
        return {PASSED: int(error <= self.tolerance), "error": error if math.isfinite(error) else None}


@dataclass(frozen=True)
class MathAnswerConfig(VerifierConfig):
    """Accepts a text whose answer equals that of the reference, as exact numbers; see `numbers.math_answer`.

    A reference is parsed like a text: GSM8K's has its answer after `####`.
    """

    kind: ClassVar[str] = "math-answer"

    def verify(self, text: str, reference: str) -> dict[str, Score] | None:
        """See `VerifierConfig`."""
        wanted = math_answer(reference)
        return None if wanted is None else {PASSED: int(math_answer(text) == wanted)}


@dataclass(frozen=True)
class RougeConfig(VerifierConfig):
    """The word overlap of text and reference: ROUGE-1 F1 of the `rouge-score` package."""

    kind: ClassVar[str] = "rouge1"

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return {"rouge1": "float64"}

    def pinned(self) -> Self:
        """See `ScorerConfig`.

        Raises:
            UsageError: The package is not installed.
        """
        _rouge()
        return self

    def verify(self, text: str, reference: str) -> dict[str, Score]:
        """See `VerifierConfig`."""
        return {"rouge1": float(_rouge().score(reference, text)["rouge1"].fmeasure)}


@cache
def _rouge() -> Any:
    """Return the ROUGE-1 scorer.

    Raises:
        UsageError: The package is not installed.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise UsageError(
            f"rouge1 needs the package rouge-score ({error}). Run pip install 'hf-toedit[analysis]'."
        ) from error
    return RougeScorer(["rouge1"])


class Verifier(ModelFreeScorer):
    """Compares texts with references; see `Scorer`."""

    def __init__(self, config: VerifierConfig) -> None:
        """Store the settings.

        Args:
            config: Settings of the verifier.
        """
        self.name = config.kind
        self._config = config

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""
        found = values_at(table, find(table.schema, self._config.reference_column))
        references: list[str | None] = [None] * len(table)
        for row, value in zip(found.rows.tolist(), found.array.to_pylist(), strict=True):
            references[row] = None if value is None else str(value)
        return self.prepared(table, list(zip(row_answers(table, texts), references, strict=True)))

    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`."""
        nothing: dict[str, Score] = dict.fromkeys(self._config.fields)
        skipped: Counter[str] = Counter()
        rows = []
        for text, reference in prepared.state:
            if text is None or reference is None:
                skipped["null" if text is None else _NO_REFERENCE] += 1
                rows.append(nothing)
            elif (values := self._config.verify(text, reference)) is None:
                skipped[_UNUSABLE] += 1
                rows.append(nothing)
            else:
                rows.append(values)
        return RowScores(rows, num_documents=len(rows), num_tokens=0, num_skipped=dict(skipped))


def row_answers(table: pa.Table, texts: Texts) -> list[str | None]:
    """Return the texts of each row as one string, without context; None if it has none."""
    parts: dict[int, list[str]] = defaultdict(list)
    for text in texts.read(table):
        if text.text:
            parts[text.row].append(text.text)
    return [_BETWEEN.join(parts[row]) if row in parts else None for row in range(len(table))]
