"""Clouds of vectors: the area under their frontier, the sampled points of a picture, and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.analysis.embedding import SCALE, check_embeddable, embedding_view, frontier_area
from hf_toedit.errors import UsageError

COUNTS = st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any)


def naive(p: np.ndarray, q: np.ndarray) -> float:
    """Compute the frontier point by point, as in the paper, and average the areas over both axes."""
    points = [(1.0, 0.0)]
    for weight in np.arange(1, 101) / 101:
        middle = [weight * a + (1 - weight) * b for a, b in zip(p, q, strict=True)]
        kl = [sum(a * np.log(a / m) for a, m in zip(each, middle, strict=True) if a > 0) for each in (q, p)]
        points.append((np.exp(-SCALE * kl[0]), np.exp(-SCALE * kl[1])))
    points.append((0.0, 1.0))
    sides = (points, [(y, x) for x, y in points])
    areas = [sum((b[1] + a[1]) / 2 * (a[0] - b[0]) for a, b in zip(side, side[1:], strict=False)) for side in sides]
    return float(abs(areas[0]) + abs(areas[1])) / 2


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_area(first: list[int], second: list[int]) -> None:
    p, q = (np.array(counts) / sum(counts) for counts in (first, second))
    area = frontier_area(p, q)
    assert area == pytest.approx(naive(p, q), abs=1e-9)
    assert area == pytest.approx(frontier_area(q, p), abs=1e-9) and 0 < area <= 1 + 1e-9
    assert frontier_area(p, p) == pytest.approx(1)


def test_area_of_disjoint_distributions() -> None:
    """The frontier is x = (1 - w)^5, y = w^5, and the area under it is 5 B(6, 5) = 1/252."""
    assert frontier_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1 / 252, rel=0.02)


def test_clouds_that_are_alike_and_not() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    clouds = {name: rng.normal(shift, 1, (count, 16)).astype(np.float32)
              for name, shift, count in (("human", 0, 120), ("alike", 0, 100), ("other", 2, 110))}  # fmt: skip
    found = embedding_view(clouds, "model", "1", seed=3)
    assert {points.shape for points in found.points.values()} == {(100, 2)}
    assert all(shares.sum() == pytest.approx(1) for shares in found.shares.values())
    alike, other = found.areas.values()
    assert alike["low"] < alike["noise_floor"] and alike["value"] > alike["noise_low"]
    assert other["high"] < other["noise_low"] and other["value"] < 0.2
    told = found.to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told and told["num_documents"] == 100
    assert embedding_view(clouds, "model", "1", seed=3).to_json() == told


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="variant 'a' has 7 texts, and an embedding view needs 20"):
        check_embeddable("a", 7)
    check_embeddable("a", 20)
    monkeypatch.setattr("hf_toedit.analysis.embedding.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'hf-toedit\[analysis\]'"):
        check_embeddable("a", 20)
