from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hf_toedit import sketch


def bins(values: Any) -> dict[int, int]:
    counted: dict[int, int] = {}
    sketch.count(counted, np.array(values, dtype=float))
    return counted


def test_ends_of_an_interval_of_the_median_are_values_of_the_sample() -> None:
    assert sketch.median_interval(bins(range(1, 101))) == pytest.approx((40, 61), rel=0.01)  # ranks 50 ± 9.8
    assert sketch.median_interval(bins([5] * 100)) == pytest.approx((5, 5), rel=0.01)


def test_few_values_have_no_interval_of_the_median() -> None:
    assert sketch.median_interval({}) is None
    assert sketch.median_interval(bins(range(1, 8))) is None
    assert sketch.median_interval(bins(range(1, 9))) == pytest.approx((1, 8), rel=0.01)


@pytest.mark.parametrize("number", [8, 21, 200])
def test_intervals_of_the_median_contain_it_in_95_percent_of_the_samples(number: int) -> None:
    random = np.random.default_rng(number)
    found = [sketch.median_interval(bins(random.lognormal(3, 1, number))) for _ in range(500)]
    covered = [ends is not None and ends[0] / 1.01 <= np.exp(3) <= ends[1] * 1.01 for ends in found]
    assert 0.94 <= np.mean(covered) <= (0.99 if number > 100 else 1)
