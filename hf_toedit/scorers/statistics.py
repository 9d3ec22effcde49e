"""Statistics of scores: what was read, and the distribution of each field's values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_toedit.mergeable import Count, Statistics
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.scorer import RowScores

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Quantiles of each field in reports."""


@dataclass
class ScoreStats(Statistics):
    """Counts of scores over any number of rows; adds one attribute to those of `Statistics`.

    Attributes:
        values: Distribution of each field, by its name.
    """

    num_rows: Count = 0
    num_documents: Count = 0
    num_skipped: dict[str, Count] = field(default_factory=Counter)
    skip_reasons: dict[str, str] = field(default_factory=dict)
    num_tokens: Count = 0
    values: dict[str, Distribution] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make missing counts zero, also after reading JSON."""
        self.num_skipped = Counter(self.num_skipped)

    def __repr__(self) -> str:
        return f"ScoreStats({self.headline})"

    @classmethod
    def of(cls, scored: RowScores, fields: Mapping[str, str]) -> ScoreStats:
        """Return the statistics of rows.

        Args:
            scored: The scores of the rows.
            fields: The scorer's fields, see `ScorerConfig`.
        """
        return cls(
            num_rows=len(scored.rows),
            num_documents=scored.num_documents,
            num_skipped=dict(scored.num_skipped),
            skip_reasons=dict(scored.skip_reasons),
            num_tokens=scored.num_tokens,
            values={name: Distribution.of(_column(scored, name)) for name in fields},
        )

    @property
    def headline(self) -> str:
        """The most important figures in a few words."""
        means = [f"{name} {values.mean:.4g}" for name, values in self.values.items() if values.num_values]
        return ", ".join([self.amount, *(["mean " + ", ".join(means)] if means else [])])

    def to_json(self) -> dict[str, Any]:
        """See `Statistics`."""
        values = {name: self.values[name].to_json() for name in sorted(self.values)}
        return {**super().to_json(), "values": values}

    def summary(self) -> dict[str, Any]:
        """See `Statistics`."""
        return {
            "num_rows": self.num_rows,
            "num_documents": self.num_documents,
            "num_skipped": dict(sorted(self.num_skipped.items())),
            **({"skip_reasons": self.skip_reasons} if self.skip_reasons else {}),
            "num_tokens": self.num_tokens,
            "values": {name: _figures(values) for name, values in self.values.items()},
            "tokens_per_second": self.tokens_per_second,
        }


def _column(scored: RowScores, name: str) -> np.ndarray:
    """Return the values of a field; float64 `[rows]`, NaN for null."""
    return np.array([math.nan if row[name] is None else row[name] for row in scored.rows], np.float64)


def _figures(values: Distribution) -> dict[str, Any]:
    """Return the figures of a field for a report; only counts if it has no values."""
    counts: dict[str, Any] = {"num_values": values.num_values, "num_null": values.num_null}
    if not values.num_values:
        return counts
    return {
        **counts,
        "mean": values.mean,
        "min": values.minimum,
        **{f"p{100 * q:02.0f}": values.quantile(q) for q in QUANTILES},
        "max": values.maximum,
    }
