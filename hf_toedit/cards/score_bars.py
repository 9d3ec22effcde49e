"""How the values of a field are grouped into bars.

The edges of bars are edges of the bins that a distribution counts in. Other edges would cut through bins, whose values
count at the bin's middle: one bar would hold one bin, the next two, and a smooth distribution would look like a comb.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from hf_toedit.cards.score_data import ScoreField
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.sketch import PER_OCTAVE

Axis = Literal["linear", "log", "exp"]
"""Scale of the axis: values, their logarithms to base 10, or such logarithms of their exponentials."""

_FEWEST, _MOST = 8, 32
"""Minimum and maximum number of bars for a number of values; a range of more octaves can have more."""

_SIZES = (1e-100, 1e100)
"""Values and ranges outside these limits are not drawn, to keep the arithmetic of libraries within its range."""

_LARGEST_NLL = 1000.0


class Bars(NamedTuple):
    """A histogram.

    Attributes:
        axis: Scale of the axis.
        edges: Edges of the bars, as values of the field; float64 `[n + 1]`.
        counts: Number of rows per bar; int64 `[n]`.
        num_left_out: Number of rows whose value is outside the axis.
    """

    axis: Axis
    edges: np.ndarray
    counts: np.ndarray
    num_left_out: int

    @property
    def places(self) -> np.ndarray:
        """The edges, as positions along the axis; float64 `[n + 1]`."""
        return self.place(self.edges)

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return the positions of field values along the axis."""
        return {"linear": values, "log": np.log10(np.maximum(values, _SIZES[0])), "exp": values / math.log(10)}[
            self.axis
        ]


def bars_of(field: ScoreField) -> Bars | None:
    """Return the histogram of a field; None if it would show nothing."""
    values = field.values
    low, high = values.minimum, values.maximum
    if low is None or high is None or not _is_drawable(low, high) or (field.is_nll and high > _LARGEST_NLL):
        return None
    most = min(max(2 * math.isqrt(values.num_values), _FEWEST), _MOST)
    if not field.is_count:
        return _bars("exp" if field.is_nll else "linear", _linear(low, high, most), values)
    return _bars("log", _log(max(low, 1.0), high, most), values) if high > 1 else None


def _is_drawable(low: float, high: float) -> bool:
    return _SIZES[0] <= high - low and max(abs(low), abs(high)) <= _SIZES[1]


def _bars(axis: Axis, edges: np.ndarray, values: Distribution) -> Bars | None:
    """Return bars between edges, without empty ones at the ends."""
    counts = values.histogram(np.array([-np.inf, *edges]))[1:]
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return None
    first, last = int(used[0]), int(used[-1]) + 1
    counts = counts[first:last]
    return Bars(axis, edges[first : last + 1], counts, values.num_values - int(counts.sum()))


def _linear(low: float, high: float, most: int) -> np.ndarray:
    """Return edges at multiples of a power of two that is not smaller than a bin."""
    finest = math.frexp(max(abs(low), abs(high)))[1] - 1 - int(math.log2(PER_OCTAVE))
    width = 2.0 ** max(math.ceil(math.log2((high - low) / most)), finest)
    return width * np.arange(math.floor(low / width), math.floor(high / width) + 2)


def _log(low: float, high: float, most: int) -> np.ndarray:
    """Return edges for integers, at roughly equal ratios; each bar contains at least one integer."""
    per = min(2 ** max(math.floor(math.log2(most / math.log2(high / low))), 0), PER_OCTAVE)
    numbers = range(math.floor(math.log2(low) * per) - 1, math.floor(math.log2(high) * per) + 3)
    edges = [
        2.0 ** (number // per) * (1 + round(PER_OCTAVE * (2 ** (number % per / per) - 1)) / PER_OCTAVE)
        for number in numbers
    ]
    return np.unique(np.ceil(edges))
