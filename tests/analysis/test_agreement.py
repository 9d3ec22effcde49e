from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.analysis.agreement import agreements, interval, spearman
from hf_toedit.stats import EditStats
from hf_toedit.tasks.read_stats import MOST_TEXTS, ReadStats

LISTS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30)


def read(means: dict[str, float]) -> ReadStats:
    return ReadStats.of(EditStats(), [(text, np.array([np.nan, -mean, -mean])) for text, mean in means.items()])


@settings(deadline=None)
@given(LISTS)
def test_it_is_scipys(pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = np.array(pairs).T
    found = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


def test_the_interval_holds_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(0)
    truth = 6 / math.pi * math.asin(0.6 / 2)  # of two normal variables whose correlation is 0.6
    hits = 0
    for _ in range(400):
        values = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 100)
        value = spearman(values[:, 0], values[:, 1])
        assert value is not None
        low, high = interval(value, 100)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_priors_are_compared_on_the_texts_that_both_read() -> None:
    texts = [f"text {number}" for number in range(40)]
    mine = read({text: number + 1 for number, text in enumerate(texts)})
    theirs = read({text: 99 - number for number, text in enumerate(texts[:30])})
    [found] = agreements({"a": mine, "b": theirs})
    assert found == {"priors": ["a", "b"], "num_documents": 30, "spearman": -1, "low": -1, "high": -1}
    [few] = agreements({"a": mine, "b": read({"text 1": 1.0})})
    assert (few["num_documents"], few["spearman"], few["low"]) == (1, None, None)
    assert agreements({"a": mine}) == []
    assert [found["priors"] for found in agreements({"a": mine, "b": mine, "c": mine})] == [
        ["a", "b"],
        ["a", "c"],
        ["b", "c"],
    ]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_texts_that_are_kept_are_the_same_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = {f"text {number}": float(number % 7 + 1) for number in range(MOST_TEXTS + 200)}
    whole = read(texts)
    parts = [read({text: texts[text] for text in part}) for part in np.array_split(rng.permutation(list(texts)), 5)]
    assert ReadStats.merged(parts).texts == whole.texts and len(whole.texts) == MOST_TEXTS
    again = whole.merge(parts[0])
    assert again.texts == whole.texts  # a text that occurs twice counts once
    assert ReadStats.from_json(whole.to_json()) == whole


def test_texts_without_a_score_are_left_out() -> None:
    assert ReadStats.of(EditStats(), [("x", np.array([np.nan], np.float32))]).texts == {}
