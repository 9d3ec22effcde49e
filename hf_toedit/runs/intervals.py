"""Estimates with 95 % intervals, from a sample that is spread over a source."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_NORMAL = 1.959964


class Quantity(NamedTuple):
    """A number with its 95 % interval: a point where it is exact, None where nothing can be said of it."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def around(cls, value: float, half: float | None) -> Quantity:
        """A value with half the width of its interval, cut at 0."""
        return cls(value, None, None) if half is None else cls(value, max(value - half, 0.0), value + half)

    def times(self, factor: float) -> Quantity:
        """All three multiplied."""
        return Quantity(*(None if number is None else number * factor for number in self))  # type: ignore[arg-type]

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.high is None else self.high - self.value


def half_width(values: np.ndarray, weights: np.ndarray) -> float | None:
    """Half the width of the 95 % interval of a weighted mean.

    The sample is spread evenly over an ordered population, so that neighbours are alike where the population changes
    slowly. The variance is that of differences between neighbours (Wolter, Introduction to Variance Estimation, 2nd
    ed. 2007, section 8.2, v2), which what changes slowly does not enlarge. The degrees of freedom are Satterthwaite's,
    from the squared differences themselves: if few of them make up the variance, it is badly known, and the interval
    is wide.

    Args:
        values: float `[n]`, in the order of the population; independent clusters.
        weights: float `[n]`, that sum to 1.

    Returns:
        None where there are fewer than two values, which say nothing of how much others differ.
    """
    if len(values) < 2:
        return None
    squares = (np.diff(values) * (weights[1:] + weights[:-1]) / 2) ** 2
    variance = squares.sum() / 2 * len(values) / len(squares)
    if variance == 0:
        return 0.0
    # In a sample of n normal values, the sum of the squares has 2n/3 degrees of freedom, and this is 2n/3 as well.
    freedom = 2 * squares.sum() ** 2 / (squares**2).sum()
    return t_quantile(min(freedom, len(squares))) * float(np.sqrt(variance))


def t_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, within 1 % of it.

    The expansion of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5; below two degrees of freedom,
    where that fails, the quantile of one.
    """
    if freedom < 2:
        return 12.7062
    x = _NORMAL
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / freedom**power for power, term in enumerate(terms, start=1))
