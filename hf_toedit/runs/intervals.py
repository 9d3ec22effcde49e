"""Estimates with 95 % intervals, from a sample that is spread over a source."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_NORMAL = 1.959964


class Quantity(NamedTuple):
    """A number with its 95 % interval: a single point if the number is exact, None if the interval is unknown."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def around(cls, value: float, half: float | None) -> Quantity:
        """Make a quantity from a value and half the width of its interval; the lower end is clipped at 0."""
        return cls(value, None, None) if half is None else cls(value, max(value - half, 0.0), value + half)

    def times(self, factor: float) -> Quantity:
        """Multiply the value and both ends of the interval by a factor."""
        return Quantity(*(None if number is None else number * factor for number in self))  # type: ignore[arg-type]

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.high is None else self.high - self.value


def half_width(values: np.ndarray, weights: np.ndarray) -> float | None:
    """Return half the width of the 95 % interval of a weighted mean.

    The sample is spread evenly over an ordered population, so neighbours are similar where the population changes
    slowly. The variance is computed from differences between neighbours (Wolter, Introduction to Variance Estimation,
    2nd ed. 2007, section 8.2, v2), so that slow changes do not enlarge it. The degrees of freedom are Satterthwaite's,
    computed from the squared differences: if a few of them dominate the variance, it is poorly known, and the interval
    is wide.

    Args:
            values: Values of independent clusters, in the order of the population; float `[n]`.
            weights: Weights that sum to 1; float `[n]`.

    Returns:
        Half the width; None if there are fewer than two values, which carry no information about the variation.
    """
    if len(values) < 2:
        return None
    squares = (np.diff(values) * (weights[1:] + weights[:-1]) / 2) ** 2
    variance = squares.sum() / 2 * len(values) / len(squares)
    if variance == 0:
        return 0.0
    # In a sample of n normal values, the sum of the squares has 2n/3 degrees of freedom, which this formula reproduces.
    freedom = 2 * squares.sum() ** 2 / (squares**2).sum()
    return t_quantile(min(freedom, len(squares))) * float(np.sqrt(variance))


def t_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, within 1 % of its value.

    Uses the expansion of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5. Below two degrees of
    freedom, where the expansion fails, it returns the quantile for one degree of freedom.
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
