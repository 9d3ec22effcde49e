"""Pearson's test, without scipy: where that is installed, whatever loads `transformers` starts half a second later."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike


def p_value(counts: ArrayLike, expected: ArrayLike) -> float:
    """How likely counts so far from the expected ones are, or counts farther off.

    Args:
        counts: `[n]`, n > 1, of draws by what was drawn.
        expected: `[n]`, of the same sum.
    """
    observed, wanted = np.asarray(counts, dtype=float), np.asarray(expected, dtype=float)
    assert np.isclose(observed.sum(), wanted.sum())
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    half = torch.tensor([(len(wanted) - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))
