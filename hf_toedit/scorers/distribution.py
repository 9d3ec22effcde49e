"""Distributions of scores: exact sums, and quantiles within 1 %, from counts that merge in any order (see `sketch`)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from hf_toedit import sketch
from hf_toedit.errors import UsageError
from hf_toedit.mergeable import Count
from hf_toedit.stats import NANO

_WHOLE = 2.0**53
"""Floats of at least this size are integers."""


@dataclass
class Distribution:
    """The values of one field over any number of rows.

    Attributes:
        num_values: Number of finite values.
        num_null: Number of rows without one.
        sum_nano: Sum of the values, each rounded to 1e-9, in units of 1e-9.
        minimum: Smallest value; None without values.
        maximum: Largest value; None without values.
        bins: Number of values by bin index, ascending; 0 is the bin of zero, -i that of the negatives of bin i.
    """

    num_values: Count = 0
    num_null: Count = 0
    sum_nano: int = 0
    minimum: float | None = None
    maximum: float | None = None
    bins: dict[int, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate values from JSON.

        Raises:
            UsageError: The parts are inconsistent.
        """
        if sum(self.bins.values()) != self.num_values:
            raise UsageError(f"the bins hold {sum(self.bins.values())} values, not {self.num_values}.")
        if (self.minimum is None, self.maximum is None) != (not self.num_values, not self.num_values):
            raise UsageError("minimum and maximum must be numbers where there are values, and null elsewhere.")

    @classmethod
    def of(cls, values: np.ndarray) -> Distribution:
        """Return the distribution of values; see `add`."""
        distribution = cls()
        distribution.add(values)
        return distribution

    def add(self, values: np.ndarray) -> None:
        """Count values.

        Args:
            values: Real `[n]`; NaN and infinity count as null.
        """
        numbers = np.asarray(values, np.float64) + 0.0  # -0.0 becomes 0.0
        finite = numbers[np.isfinite(numbers)]
        self.num_null += len(numbers) - len(finite)
        if not len(finite):
            return
        self.num_values += len(finite)
        self.sum_nano += sum(map(_nano, finite.tolist()))
        self.minimum = min([float(finite.min()), *self._extremes])
        self.maximum = max([float(finite.max()), *self._extremes])
        sketch.count(self.bins, finite)

    def __add__(self, other: Distribution) -> Distribution:
        """Return the distribution of the values of both."""
        extremes = [*self._extremes, *other._extremes]
        return Distribution(
            self.num_values + other.num_values,
            self.num_null + other.num_null,
            self.sum_nano + other.sum_nano,
            min(extremes, default=None),
            max(extremes, default=None),
            dict(Counter(self.bins) + Counter(other.bins)),
        )

    @property
    def mean(self) -> float:
        """Mean of the values; NaN without values."""
        return self.sum_nano / (self.num_values * 10**9) if self.num_values else math.nan

    def quantile(self, q: float) -> float:
        """Return the value of rank ⌈q · n⌉ among the sorted values, with a relative error of at most 1 %.

        Args:
            q: From 0, the minimum, to 1, the maximum, which are exact.

        Returns:
            The quantile; NaN without values.
        """
        if self.minimum is None or self.maximum is None:
            return math.nan
        rank = max(math.ceil(q * self.num_values), 1)
        if rank == 1 or rank >= self.num_values:
            return self.minimum if rank == 1 else self.maximum
        return min(max(sketch.quantile(self.bins, q), self.minimum), self.maximum)

    def histogram(self, edges: np.ndarray) -> np.ndarray:
        """Count values between edges, for plots; each bin counts at its middle.

        Args:
            edges: float `[n + 1]`, ascending; the first at most the minimum, the last at least the maximum.

        Returns:
            int64 `[n]`.
        """
        if self.minimum is None:
            return np.zeros(len(edges) - 1, np.int64)
        middles = np.clip([sketch.middle(number) for number in self.bins], self.minimum, self.maximum)
        return np.histogram(middles, edges, weights=np.array(list(self.bins.values())))[0].astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, equal for equal distributions."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {**values, "bins": {str(number): self.bins[number] for number in sorted(self.bins)}}

    @property
    def _extremes(self) -> list[float]:
        return [value for value in (self.minimum, self.maximum) if value is not None]


def _nano(value: float) -> int:
    return int(value) * 10**9 if abs(value) >= _WHOLE else round(value / NANO)
