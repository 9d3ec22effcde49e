"""Counts of values in narrow bins, from which quantiles follow within 1 %; they merge in any order.

The bins are those of DDSketch with a linear interpolation between powers of two (Masson, Rim and Lee, "DDSketch: A Fast
and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", PVLDB 12(12), 2019). No logarithm is computed, so
that a value falls into the same bin on every machine, and no bins are joined, so that counts stay exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping

import numpy as np

PER_OCTAVE = 64
"""Number of bins between a power of two and the next."""

_LOWEST = -1074
"""Exponent of the smallest positive float64, where the first bin of positive values (number 1) begins."""


def count(bins: MutableMapping[int, int], values: np.ndarray) -> None:
    """Count finite values, float64 `[n]`, by bin number; bin 0 is zero, and bin -i has the negatives of bin i."""
    for number, found in zip(*np.unique(bins_of(values), return_counts=True), strict=True):
        bins[int(number)] = bins.get(int(number), 0) + int(found)


def quantile(bins: Mapping[int, int], q: float) -> float:
    """Return the value of rank ⌈q · n⌉ among the sorted values, at least the first, within a relative error of 1 %.

    Returns:
        The value; NaN if there are no values.
    """
    return _of_rank(bins, max(math.ceil(q * sum(bins.values())), 1))


def median_interval(bins: Mapping[int, int]) -> tuple[float, float] | None:
    """Return a 95 % interval of the median of the distribution from which the counted values are a random sample.

    Its ends are values of the sample, whose ranks follow from the binomial distribution of how many values are below
    the median; so no distribution is assumed (Conover 1999, "Practical Nonparametric Statistics", Section 3.2).

    Returns:
        Lower and upper end, each within a relative error of 1 %; None if there are too few values, fewer than 8.
    """
    total = sum(bins.values())
    half = 1.96 * math.sqrt(total) / 2
    low, high = math.floor(total / 2 - half), math.ceil(total / 2 + half) + 1
    if low < 1:
        return None
    return _of_rank(bins, low), _of_rank(bins, high)


def _of_rank(bins: Mapping[int, int], rank: int) -> float:
    """Return the value of a rank, from 1, among the sorted values; NaN if there are fewer."""
    seen = 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= rank:
            return middle(number)
    return math.nan


def bins_of(values: np.ndarray) -> np.ndarray:
    """Return the bin of each value; int64 `[n]`. Every step is exact."""
    mantissas, exponents = np.frexp(np.abs(values))  # mantissa in [0.5, 1)
    steps = ((2 * mantissas - 1) * PER_OCTAVE).astype(np.int64)
    numbers = (exponents.astype(np.int64) - 1 - _LOWEST) * PER_OCTAVE + steps + 1
    return np.sign(values).astype(np.int64) * numbers


def middle(number: int) -> float:
    """Return the representative value of a bin: the harmonic mean of its ends, which minimizes the relative error.

    The error is at most 1 / (2 · `PER_OCTAVE` + 1), 0.78 %.
    """
    if number == 0:
        return 0.0
    octave, step = divmod(abs(number) - 1, PER_OCTAVE)
    low, high = 1 + step / PER_OCTAVE, 1 + (step + 1) / PER_OCTAVE
    return math.copysign(math.ldexp(2 * low * high / (low + high), octave + _LOWEST), number)
