"""Tests of fit without scipy: if scipy is installed, importing `transformers` takes half a second longer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike


def chi_square(counts: ArrayLike, expected: ArrayLike) -> float:
    """Return the p-value of counts by Pearson's test.

    Args:
        counts: `[n]`, n > 1, number of draws of each outcome.
        expected: `[n]`, with the same sum.
    """
    observed, wanted = np.asarray(counts, dtype=float), np.asarray(expected, dtype=float)
    assert np.isclose(observed.sum(), wanted.sum())
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    half = torch.tensor([(len(wanted) - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def kolmogorov(values: ArrayLike) -> float:
    """Return the p-value of thousands of values as uniform on [0, 1), by the limit of Kolmogorov's distribution."""
    ordered = np.sort(np.asarray(values, dtype=float))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    distance = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
    terms = np.arange(1, 101)
    series = (-1.0) ** (terms - 1) * np.exp(-2 * len(ordered) * (terms * distance) ** 2)
    return float(np.clip(2 * series.sum(), 0, 1))
