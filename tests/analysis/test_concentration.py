from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.analysis.concentration import concentration


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=250))
def test_figures_are_those_of_their_definitions(counts: list[int]) -> None:
    result = concentration(np.array(counts))
    assert result.responses.tolist() == sorted(counts, reverse=True)
    assert result.max_entropy == pytest.approx(math.log2(len(counts)))
    mass, size = sum(counts), len(counts)
    if not mass:
        assert all(map(math.isnan, (result.top_share, result.gini, result.entropy)))
        return
    assert result.top_share == pytest.approx(sum(sorted(counts)[-math.ceil(size / 100) :]) / mass)
    differences = sum(abs(a - b) for a in counts for b in counts)  # mean absolute difference over twice the mean
    assert result.gini == pytest.approx(differences / (2 * size * mass), abs=1e-12)
    assert result.entropy == pytest.approx(-sum(c / mass * math.log2(c / mass) for c in counts if c), abs=1e-12)


def test_extremes() -> None:
    even = concentration(np.full(1000, 7))
    assert (even.top_share, even.entropy) == pytest.approx((0.01, even.max_entropy))
    assert even.gini == pytest.approx(0, abs=1e-12)
    one = concentration(np.eye(1, 1000, 3, dtype=np.int64)[0])
    assert (one.top_share, one.gini, one.entropy) == pytest.approx((1, 0.999, 0))
