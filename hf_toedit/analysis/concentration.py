"""Concentration of the n-grams of a dataset on few buckets.

Zhu et al. 2024, "How to Synthesize Text Data without Model Collapse?", arXiv 2412.14689, Figure 5: synthetic text has
most of its n-grams in few buckets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOP_SHARE = 0.01
"""Share of the buckets: those with the most n-grams."""


@dataclass(frozen=True, eq=False)
class Concentration:
    """The concentration of a mass on few buckets.

    Attributes:
        responses: The counts in descending order; `[num_buckets]`.
        top_share: Share of the mass in the fullest 1 % of buckets, their number rounded up; NaN without mass.
        gini: 0 if all buckets are equal, 1 - 1/num_buckets if one has everything; NaN without mass.
        entropy: Entropy of the distribution over buckets, in bits; NaN without mass.
        max_entropy: Entropy of the uniform distribution: log2(num_buckets).
    """

    responses: np.ndarray
    top_share: float
    gini: float
    entropy: float
    max_entropy: float


def concentration(counts: np.ndarray) -> Concentration:
    """Compute the concentration of counts.

    Args:
        counts: Counts, or means of counts, of at least one bucket; `[num_buckets]`.
    """
    responses = np.sort(counts)[::-1]
    size, mass = len(responses), responses.sum()
    if not mass:
        return Concentration(responses, math.nan, math.nan, math.nan, math.log2(size))
    top = responses[: math.ceil(TOP_SHARE * size)].sum() / mass
    shares = responses / mass
    ranks = np.arange(size, 0, -1)  # the smallest share has rank 1
    gini = 2 * (ranks * shares).sum() / size - (size + 1) / size
    return Concentration(responses, float(top), float(gini), entropy(responses), math.log2(size))


def entropy(counts: np.ndarray | Sequence[int]) -> float:
    """Return the entropy of the distribution given by counts, some of them above zero; in bits."""
    counts = np.asarray(counts)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
