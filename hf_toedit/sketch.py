"""Counts of values in bins so narrow that they tell quantiles within 1 %, and merge in any order.

The bins are those of DDSketch with a linear interpolation between powers of two (Masson, Rim and Lee, "DDSketch: A Fast
and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", PVLDB 12(12), 2019): no logarithm is computed, so
that a value is in the same bin on every machine, and no bins are joined, so that counts stay exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping

import numpy as np

PER_OCTAVE = 64
"""Bins between a power of two and the next."""

_LOWEST = -1074
"""Exponent of the smallest positive float64; the first bin of positive values begins there and has number 1."""


def count(bins: MutableMapping[int, int], values: np.ndarray) -> None:
    """Count finite values, float64 `[n]`, by number of their bin; 0 is that of zero, -i that of the negatives of i."""
    for number, found in zip(*np.unique(bins_of(values), return_counts=True), strict=True):
        bins[int(number)] = bins.get(int(number), 0) + int(found)


def quantile(bins: Mapping[int, int], q: float) -> float:
    """The value of rank ⌈q · n⌉ among the sorted values, at least the first, with a relative error of 1 % at most.

    Returns:
        NaN where there are no values.
    """
    rank = max(math.ceil(q * sum(bins.values())), 1)
    seen = 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= rank:
            return middle(number)
    return math.nan


def bins_of(values: np.ndarray) -> np.ndarray:
    """The bin of each value; int64 `[n]`. Every step is exact."""
    mantissas, exponents = np.frexp(np.abs(values))  # mantissa in [0.5, 1)
    steps = ((2 * mantissas - 1) * PER_OCTAVE).astype(np.int64)
    numbers = (exponents.astype(np.int64) - 1 - _LOWEST) * PER_OCTAVE + steps + 1
    return np.sign(values).astype(np.int64) * numbers


def middle(number: int) -> float:
    """What stands for the values of a bin: the harmonic mean of its ends, which is nearest to both by relative error.

    That is at most 1 / (2 · `PER_OCTAVE` + 1), 0.78 %.
    """
    if number == 0:
        return 0.0
    octave, step = divmod(abs(number) - 1, PER_OCTAVE)
    low, high = 1 + step / PER_OCTAVE, 1 + (step + 1) / PER_OCTAVE
    return math.copysign(math.ldexp(2 * low * high / (low + high), octave + _LOWEST), number)
