"""How far the n-grams of a dataset are concentrated on few buckets.

Zhu et al. 2024, "How to Synthesize Text Data without Model Collapse?", arXiv 2412.14689, Figure 5: synthetic text has
most of its n-grams in few buckets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOP_SHARE = 0.01
"""Of the buckets, those with most n-grams."""


@dataclass(frozen=True, eq=False)
class Concentration:
    """How far a mass is concentrated on few buckets.

    Attributes:
        responses: `[num_buckets]`, the counts, the largest first.
        top_share: The share of the mass in the 1 % of buckets with most, their number rounded up; NaN without mass.
        gini: 0 where all buckets hold the same, 1 - 1/num_buckets where one holds everything; NaN without mass.
        entropy: Of the distribution over buckets, in bits; NaN without mass.
        max_entropy: Of the uniform one: log2(num_buckets).
    """

    responses: np.ndarray
    top_share: float
    gini: float
    entropy: float
    max_entropy: float


def concentration(counts: np.ndarray) -> Concentration:
    """Measure counts.

    Args:
        counts: `[num_buckets]`, or means of them; at least one bucket.
    """
    responses = np.sort(counts)[::-1]
    size, mass = len(responses), responses.sum()
    if not mass:
        return Concentration(responses, math.nan, math.nan, math.nan, math.log2(size))
    top = responses[: math.ceil(TOP_SHARE * size)].sum() / mass
    shares = responses / mass
    ranks = np.arange(size, 0, -1)  # 1 is that of the smallest
    gini = 2 * (ranks * shares).sum() / size - (size + 1) / size
    return Concentration(responses, float(top), float(gini), entropy(responses), math.log2(size))


def entropy(counts: np.ndarray | Sequence[int]) -> float:
    """Of the distribution that counts are of, some of them above zero; in bits."""
    counts = np.asarray(counts)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
