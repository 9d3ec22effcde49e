"""phi, psi and the breakdown point, compared with known counts and simulations with known results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_toedit.selection.breakdown import Breakdown, breakdown, of_counts


def counted(right: int, wrong: int, right_kept: int, wrong_kept: int) -> Breakdown:
    names = ("num_right", "num_wrong", "num_right_kept", "num_wrong_kept")
    return of_counts(dict(zip(names, (right, wrong, right_kept, wrong_kept), strict=True)))


def test_of_rows() -> None:
    right = np.array([1, 1, 0, 0, 0, math.nan])
    found = breakdown(right, np.array([True, False, True, False, False, True]))
    assert (found.num_right, found.num_wrong, found.num_right_kept, found.num_wrong_kept) == (2, 3, 1, 1)
    assert (found.phi, found.psi) == (0.5, pytest.approx(1 / 3))
    assert found.point == pytest.approx(1 / (1 + (1 / 3) / 0.5))
    assert (found.error_rate, found.kept_error_rate) == (0.6, 0.5)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((500, 500, 400, 100), "below"),
        ((100, 900, 80, 700), "above"),
        ((5, 5, 4, 3), "cannot be estimated from so few rows"),
        ((100, 0, 50, 0), "below"),
        ((0, 100, 0, 50), "above"),
        ((0, 0, 0, 0), "cannot be estimated from so few rows"),
        ((300, 700, 300, 0), "below"),
    ],
)
def test_the_verdict(counts: tuple[int, int, int, int], verdict: str) -> None:
    found = counted(*counts)
    assert found.verdict == verdict
    if verdict in ("below", "above"):  # right rows are kept more often than wrong ones, or less often
        assert (counts[2] > counts[3]) == (verdict == "below")


def test_nothing_kept_and_nothing_known() -> None:
    assert counted(10, 10, 0, 0).point is None and counted(10, 10, 0, 0).kept_error_rate is None
    assert counted(0, 0, 0, 0).error_rate == 0
    assert counted(10, 10, 10, 0).point == 1 and counted(10, 10, 10, 0).point_low < 0.999


@pytest.mark.parametrize(
    ("phi", "psi", "p", "rows"), [(0.9, 0.2, 0.4, 200), (0.3, 0.3, 0.5, 100), (0.8, 0.02, 0.7, 300)]
)
def test_intervals_hold_what_they_should(phi: float, psi: float, p: float, rows: int) -> None:
    """In about 95 of 100 simulated selections, the interval contains the true breakdown point."""
    rng = np.random.default_rng(1)
    hits = {"point": 0, "error": 0}
    for _ in range(200):
        right = (rng.random(rows) >= p).astype(float)
        kept = rng.random(rows) < np.where(right == 1, phi, psi)
        found = breakdown(right, kept)
        hits["point"] += found.point_low <= 1 / (1 + psi / phi) <= found.point_high
        hits["error"] += found.error_low <= p <= found.error_high
    assert 0.9 <= hits["point"] / 200 <= 1 and 0.9 <= hits["error"] / 200 <= 1
