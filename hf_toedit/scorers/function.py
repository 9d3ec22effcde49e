"""User-defined functions as verifiers: `module:function`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from hf_toedit.errors import PriorError, RunError, reason
from hf_toedit.extensions import own_function, revision_of
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.scorer import Prepared, RowScores, Score
from hf_toedit.scorers.verifier import PASSED, row_answers
from hf_toedit.scorers.whole_rows import FAILED
from hf_toedit.scorers.without_model import ModelFreeScorer, WithoutModelConfig

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class FunctionConfig(WithoutModelConfig):
    """A user-defined function: `passes(text, row)` returns true or false, a number, or None for no score.

    Attributes:
        function: `module:function`.
        revision: Fingerprint of the code; empty until the settings are pinned.
    """

    kind: ClassVar[str] = "function"

    function: str
    revision: str = ""

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return {PASSED: "float64"}

    @property
    def own_code(self) -> dict[str, str]:
        """See `ScorerConfig`."""
        return {"scorer": self.function}

    def pinned(self) -> Self:
        """See `ScorerConfig`; imports the module.

        Raises:
            UsageError: There is no such function.
        """
        return replace(self, revision=revision_of(own_function(self.function, "scorer")))

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ("revision",)

    def check_planned(self, planned: Self) -> None:
        """See `ScorerConfig`."""
        if self.revision != planned.revision:
            raise RunError(
                f"scorer {self.function!r} is not the one that was planned: its code has changed. Put the old code "
                f"back, or plan a new run."
            )

    def scorer(self) -> FunctionVerifier:
        """See `WithoutModelConfig`."""
        return FunctionVerifier(self.function)


class FunctionVerifier(ModelFreeScorer):
    """Calls a user-defined function; see `Scorer`."""

    def __init__(self, name: str) -> None:
        """Import the function.

        Args:
            name: `module:function`.
        """
        self.name = name
        self._function = own_function(name, "scorer")

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""
        return self.prepared(table, list(zip(row_answers(table, texts), table.to_pylist(), strict=True)))

    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`; a row on which the function fails has no score, and is counted.

        Raises:
            PriorError: The function fails on every row, or returns an invalid value.
        """
        skipped: Counter[str] = Counter()
        reasons: list[str] = []
        rows: list[dict[str, Score]] = []
        for text, row in prepared.state:
            value = None
            if text is None:
                skipped["null"] += 1
            else:
                try:
                    value = self._checked(self._function(text, row))
                except PriorError:
                    raise
                except Exception as error:  # user code can raise any exception
                    skipped[FAILED] += 1
                    reasons.append(reason(error))
            rows.append({PASSED: value})
        if reasons and skipped.total() == len(rows):
            raise PriorError(f"scorer {self.name!r} fails on every text ({min(reasons)}). Fix its function.")
        return RowScores(rows, len(rows), 0, dict(skipped), {FAILED: min(reasons)} if reasons else {})

    def _checked(self, answer: Any) -> float | None:
        if answer is None:
            return None
        if not isinstance(answer, int | float):
            raise PriorError(
                f"scorer {self.name!r} must return true, false, a number or None, not {answer!r:.80}. Fix its function."
            )
        return float(answer) if math.isfinite(answer) else None
