"""Agreement of priors on which documents are likely: rank correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from hf_toedit.stats import EditStats
from hf_toedit.tasks.read_stats import ReadStats

FEWEST = 10
"""Minimum number of texts for a correlation."""

_Z = 1.96


def agreements(readings: Mapping[str, EditStats]) -> list[dict[str, Any]]:
    """Return the agreement of each pair of priors on the texts of one dataset.

    Args:
        readings: Statistics by prior.

    Returns:
        JSON values of each pair: `priors`, `num_documents`, and `spearman` with the ends of its 95 % interval `low` and
        `high`; None if there are too few texts or all are equally likely.
    """
    found = []
    for (first, mine), (second, theirs) in combinations(readings.items(), 2):
        if isinstance(mine, ReadStats) and isinstance(theirs, ReadStats):
            common = sorted(mine.texts.keys() & theirs.texts.keys())
            pair = (np.array([stats.texts[name] for name in common], np.int64) for stats in (mine, theirs))
            value = spearman(*pair) if len(common) >= FEWEST else None
            low, high = (None, None) if value is None else interval(value, len(common))
            found.append(
                {"priors": [first, second], "num_documents": len(common), "spearman": value, "low": low, "high": high}
            )
    return found


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rank correlation, with mean ranks for ties; None if all values of one side are equal.

    Args:
        first: Numbers `[n]`.
        second: Numbers `[n]` of the same items.
    """
    ranks = [_ranks(values) for values in (first, second)]
    if not all(values.any() for values in ranks):
        return None
    value = float(ranks[0] @ ranks[1] / math.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return min(max(value, -1.0), 1.0)


def interval(value: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rank correlation, by Fisher's transformation.

    Its variance is (1 + value² / 2) / (n - 3) (Bonett and Wright 2000, "Sample size requirements for estimating
    Pearson, Kendall and Spearman correlations", Psychometrika 65).

    Args:
        value: The correlation.
        count: Number of items n, above 3.
    """
    if abs(value) == 1:
        return value, value
    half = _Z * math.sqrt((1 + value**2 / 2) / (count - 3))
    return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks minus their mean; float64 `[n]`."""
    _, owners, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ranks[owners] - (len(values) + 1) / 2
