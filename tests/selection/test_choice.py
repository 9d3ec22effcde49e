"""Rows kept by their scores, compared with plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit import sketch
from hf_toedit.errors import UsageError
from hf_toedit.selection.choice import Choice, keys_of, quantiles

SCORES = st.lists(st.one_of(st.integers(0, 9).map(float), st.just(math.nan)), min_size=1, max_size=40)


def kept(values: list[float], **how: Any) -> list[int]:
    return Choice(**how).rows_of(np.array(values), keys_of("train", len(values))).tolist()


@given(SCORES, st.sampled_from(["highest", "lowest", "middle"]), st.data())
def test_as_many_rows_as_asked_for_and_none_that_is_worse_than_one_left_out(
    values: list[float], keep: Any, data: st.DataObject
) -> None:
    scored = [row for row, value in enumerate(values) if not math.isnan(value)]
    if not scored:
        return
    count = data.draw(st.integers(1, len(scored)))
    found = kept(values, keep=keep, rows=count)
    assert len(found) == count and found == sorted(set(found)) and set(found) <= set(scored)
    left = [values[row] for row in scored if row not in found]
    mine = [values[row] for row in found]
    if keep == "highest":
        assert max(left, default=-1.0) <= min(mine)
    if keep == "lowest":
        assert min(left, default=10.0) >= max(mine)
    if keep == "middle" and left:
        below, above = sum(value <= min(mine) for value in left), sum(value >= max(mine) for value in left)
        assert below + above >= len(left)  # none of them is in between
        ordered = sorted(values[row] for row in scored)
        start = (len(ordered) - count) // 2
        assert sorted(mine) in (ordered[start : start + count], ordered[start + 1 : start + 1 + count])


@given(SCORES, st.sampled_from(["above", "below"]), st.integers(0, 9))
def test_a_threshold_keeps_what_reaches_it(values: list[float], keep: Any, threshold: int) -> None:
    wanted = [
        row for row, value in enumerate(values) if (value >= threshold if keep == "above" else value <= threshold)
    ]
    if wanted:
        assert kept(values, keep=keep, threshold=float(threshold)) == wanted
    else:
        with pytest.raises(UsageError, match=f"no row has a score {keep} {threshold}"):
            kept(values, keep=keep, threshold=float(threshold))


def test_equal_scores_are_chosen_by_the_seed_and_from_everywhere() -> None:
    found = {seed: kept([1.0] * 1000, keep="highest", rate=0.1, seed=seed) for seed in range(20)}
    assert len({tuple(rows) for rows in found.values()}) == 20
    counts = np.bincount(np.concatenate(list(found.values())) // 100, minlength=10)
    assert counts.sum() == 2000 and counts.min() > 150


def test_a_row_does_not_depend_on_how_many_come_after_it() -> None:
    few, many = keys_of("train", 10), keys_of("train", 1000)
    assert few.tolist() == many[:10].tolist()
    assert not set(few.tolist()) & set(keys_of("test", 10).tolist())


def test_a_sample_by_weight_takes_rows_in_proportion() -> None:
    """The first row of a sample without replacement has a probability proportional to its weight."""
    weights = np.log([0.5, 0.3, 0.2])
    counts = np.zeros(3)
    for seed in range(4000):
        counts[Choice("highest", rows=1, sampled=True, seed=seed).rows_of(weights, keys_of("train", 3))] += 1
    assert counts / 4000 == pytest.approx([0.5, 0.3, 0.2], abs=0.025)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"keep": "highest"}, "no number of rows is given. Use one of --rows, --rate and --threshold"),
        ({"keep": "highest", "rows": 1, "rate": 0.5}, "--rows and --rate are given"),
        ({"keep": "highest", "threshold": 1.0}, "--keep highest needs --rows or --rate, not --threshold"),
        ({"keep": "above", "rows": 1}, "--keep above needs --threshold, not --rows"),
        ({"keep": "highest", "rate": 1.5}, "rate"),
        ({"keep": "highest", "rows": 0}, "rows"),
        ({"keep": "best", "rows": 1}, "keep"),
        ({"keep": "highest", "rows": 4}, "4 rows are asked for, and there are 3, 1 of them without a score"),
        ({"keep": "highest", "rate": 0.1}, "a rate of 0.1 keeps none of 3 rows"),
        ({"keep": "above", "threshold": 9.0}, "above 9: they are from 1 to 2"),
    ],
)
def test_what_cannot_be_kept_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kept([1.0, math.nan, 2.0], **how)


def test_quantiles_are_of_the_scores_that_there_are() -> None:
    found = quantiles(np.array([math.nan, *range(101)]))
    assert found["0.5"] == 50 and found["0.01"] == 1
    assert quantiles(np.array([math.nan])) == {}


def test_quantiles_are_those_that_scores_have_in_a_run_of_scores() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    bins: dict[int, int] = {}
    sketch.count(bins, values)
    assert quantiles(values)["0.5"] == 2
    assert all(
        value == pytest.approx(sketch.quantile(bins, float(q)), rel=0.01) for q, value in quantiles(values).items()
    )


def test_quantiles_of_the_largest_floats_are_finite() -> None:
    largest = float(np.finfo(np.float64).max)
    found = quantiles(np.array([-largest, largest, math.nan]))
    assert found["0.5"] == found["0.25"] == -found["0.75"] == -largest
    assert quantiles(np.array([5e-324] * 3))["0.5"] == 5e-324
