"""Rows in a mixture, their number of repetitions, and their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.errors import UsageError
from hf_toedit.selection.choice import keys_of
from hf_toedit.selection.mixture import budgets, check_shares, draw, positions

LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any)


@given(LENGTHS, st.floats(0.01, 3))
def test_tokens_are_as_near_to_the_budget_as_whole_rows_allow(lengths: list[int], epochs: float) -> None:
    tokens = np.array(lengths)
    budget = epochs * tokens.sum()
    drawn = draw(tokens, keys_of("train", len(lengths)), budget, seed=1)
    assert drawn.num_tokens == sum(lengths[row] for row in drawn.rows)
    assert abs(drawn.num_tokens - budget) <= max(lengths) / 2
    assert drawn.epochs == drawn.num_tokens / tokens.sum()
    counts = np.bincount(drawn.rows, minlength=len(lengths))[tokens > 0]
    assert set(counts) <= {int(epochs), int(epochs) + 1}
    assert not np.isin(np.flatnonzero(tokens == 0), drawn.rows).any()


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    tokens, keys = np.ones(50, np.int64), keys_of("train", 50)
    first, second = np.split(draw(tokens, keys, 100, seed=1).rows, 2)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first.tolist() != second.tolist() != draw(tokens, keys, 50, seed=2).rows.tolist()
    assert draw(tokens, keys, 20, seed=1).rows.tolist() == first[:20].tolist()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_places_are_all_numbers_once(counts: list[int]) -> None:
    found = positions(counts, seed=3)
    assert [len(places) for places in found] == counts
    assert sorted(np.concatenate(found)) == list(range(sum(counts)))


def test_a_mixture_is_shuffled() -> None:
    """In each tenth of the mixture, about half of the rows come from each dataset."""
    first, second = positions([1000, 1000], seed=0)
    counts = np.bincount(first // 200, minlength=10)
    assert counts.min() > 75 and counts.max() < 125
    assert abs(np.corrcoef(np.arange(1000), first)[0, 1]) < 0.1
    assert first.tolist() != positions([1000, 1000], seed=1)[0].tolist()


def test_without_a_number_of_tokens_it_is_as_large_as_it_can_be() -> None:
    found = budgets({"a": 0.75, "b": 0.25}, {"a": 300, "b": 1000}, None, max_epochs=1)
    assert found == pytest.approx({"a": 300, "b": 100})
    twice = budgets({"a": 0.75, "b": 0.25}, {"a": 300, "b": 1000}, None, max_epochs=2)
    assert twice == pytest.approx({"a": 600, "b": 200})


def test_more_tokens_than_there_are_are_refused_with_what_is_possible() -> None:
    with pytest.raises(
        UsageError, match=r"750 tokens of 'a' .* has 300: that is 2.50 epochs. Ask for at most 400 .* 3"
    ):
        budgets({"a": 0.75, "b": 0.25}, {"a": 300, "b": 1000}, 1000, max_epochs=1)
    assert budgets({"a": 0.75, "b": 0.25}, {"a": 300, "b": 1000}, 1000, max_epochs=3) == {"a": 750, "b": 250}
    with pytest.raises(UsageError, match="'b' has no tokens"):
        budgets({"a": 0.75, "b": 0.25}, {"a": 300, "b": 0}, 10, max_epochs=1)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"a": 1.0}, "two datasets"),
        ({"a": 0.5, "b": 0.25}, r"sum to 0.75, .* a:0.6667 b:0.3333"),
        ({"a": 1.0, "b": 0.0}, "share of 'b' is 0"),
        ({"a": float("nan"), "b": 1.0}, "share of 'a' is nan"),
    ],
)
def test_shares_that_make_no_mixture_are_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_shares(shares)
