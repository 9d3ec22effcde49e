"""Statistics of scores: exact for any partition of the rows, and quantiles within 1 %."""

from __future__ import annotations

import json
import math
import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.errors import UsageError
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.scorer import RowScores
from hf_toedit.scorers.statistics import QUANTILES, ScoreStats

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "120"))
SMALLEST, LARGEST = 5e-324, 1.7976931348623157e308

edges = st.sampled_from([0.0, -0.0, SMALLEST, -SMALLEST, 97 * SMALLEST, LARGEST, -LARGEST, 1.0, 2.0**53, 1e-9, 0.5e-9])
numbers = st.one_of(st.floats(), edges, st.floats(-20, 20), st.integers(-9, 9).map(float))


def _assert_near(found: float, exact: float) -> None:
    assert abs(found - exact) <= 0.01 * abs(exact), (found, exact)


def _stats(values: list[float]) -> ScoreStats:
    rows: Any = [{"x": None if math.isnan(value) else value, "n": index % 3} for index, value in enumerate(values)]
    skipped = {"null": sum(map(math.isnan, values))} if any(map(math.isnan, values)) else {}
    reasons = {"null": repr(values[0])} if skipped else {}
    return ScoreStats.of(RowScores(rows, len(rows), 3 * len(rows), skipped, reasons), {"x": "float64", "n": "int32"})


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(numbers, max_size=60), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_gives_the_same_json(values: list[float], chance: random.Random) -> None:
    whole = Distribution.of(np.array(values))
    shuffled = chance.sample(values, len(values))
    cuts = sorted(chance.randint(0, len(values)) for _ in range(chance.randint(0, 4)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)]
    merged = Distribution()
    for part in parts:
        merged = Distribution.of(np.array(part)) + merged
    assert json.dumps(merged.to_json()) == json.dumps(whole.to_json())
    at_once = Distribution()
    for part in parts:
        at_once.add(np.array(part))
    assert json.dumps(at_once.to_json()) == json.dumps(whole.to_json())


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(numbers, max_size=60), st.sampled_from([*QUANTILES, 0.0, 1.0, 0.5001]))
def test_quantiles_are_within_one_percent_of_numpys(values: list[float], q: float) -> None:
    distribution = Distribution.of(np.array(values))
    finite = np.array([value for value in values if math.isfinite(value)])
    assert (distribution.num_values, distribution.num_null) == (len(finite), len(values) - len(finite))
    if not len(finite):
        assert math.isnan(distribution.quantile(q)) and math.isnan(distribution.mean)
        return
    _assert_near(distribution.quantile(q), float(np.quantile(finite, q, method="inverted_cdf")))
    assert (distribution.quantile(0), distribution.quantile(1)) == (finite.min(), finite.max())
    assert (distribution.minimum, distribution.maximum) == (finite.min(), finite.max())
    assert str(distribution.minimum) != "-0.0" != str(distribution.maximum)
    assert len(distribution.bins) <= len(finite)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_value_is_near_the_middle_of_its_bin(values: list[float]) -> None:
    for value in values:  # the second of three values is not an extreme, which would be exact
        distribution = Distribution.of(np.array([-LARGEST, value, LARGEST]))
        _assert_near(distribution.quantile(0.5), value)


def test_the_sum_is_exact_and_so_is_the_mean() -> None:
    values = np.random.default_rng(1).normal(3, 2, 10_000)
    distribution = Distribution.of(values)
    assert distribution.sum_nano == sum(round(value / 1e-9) for value in values.tolist())
    assert distribution.mean == pytest.approx(values.mean(), rel=1e-12)
    assert Distribution.of(np.array([LARGEST, 1e-9, -LARGEST])).sum_nano == 1


def test_large_samples() -> None:
    values = np.random.default_rng(0).lognormal(1, 2, 100_000)
    distribution = Distribution.of(values)
    for q in QUANTILES:
        _assert_near(distribution.quantile(q), float(np.quantile(values, q, method="inverted_cdf")))
    assert len(distribution.bins) < 2000
    histogram = distribution.histogram(np.linspace(0, values.max(), 50))
    assert histogram.sum() == 100_000
    assert abs(histogram[0] - np.histogram(values, 50)[0][0]) < 2000


def test_infinity_counts_as_null_and_zero_has_no_sign() -> None:
    distribution = Distribution.of(np.array([np.inf, -np.inf, np.nan, -0.0, 0.0]))
    assert distribution == Distribution(2, 3, 0, 0.0, 0.0, {0: 2})


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(st.lists(st.lists(st.one_of(numbers, st.just(math.nan)), max_size=9), max_size=5))
def test_statistics_merge_and_are_read_back(parts: list[list[float]]) -> None:
    merged = ScoreStats.merged([_stats(part) for part in parts])
    assert merged.to_json() == ScoreStats.merged([_stats(part) for part in reversed(parts)]).to_json()
    read = ScoreStats.from_json(json.loads(json.dumps(merged.to_json())))
    assert read.to_json() == merged.to_json() and read == merged
    assert merged.num_rows == sum(map(len, parts))
    json.dumps(merged.summary(), allow_nan=False)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"num_rows": -1}, "num_rows -1 is out of range"),
        ({"values": []}, "values must be an object"),
        ({"values": {"x": 1}}, "values.x must be an object, not 1"),
        ({"values": {"x": {"num_value": 1}}}, "values.x cannot have 'num_value'. Did you mean 'num_values'?"),
        ({"values": {"x": {"bins": {"a": 1}}}}, "values.x.bins"),
        ({"values": {"x": {"bins": {"3": 1}}}}, "values.x: the bins hold 1 values, not 0."),
        ({"values": {"x": {"num_values": 1, "bins": {"3": 1}}}}, "values.x: minimum and maximum must be numbers"),
        ({"values": {"x": {"minimum": math.nan}}}, "values.x.minimum"),
    ],
)
def test_json_that_cannot_be_statistics_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        ScoreStats.from_json({**_stats([1.0, 2.0]).to_json(), **change})
    assert said in str(raised.value)


def test_headline_and_summary() -> None:
    stats = _stats([1.0, 2.0, math.nan, 4.0])
    assert stats.headline == "4 documents (1 skipped), 12 tokens, mean x 2.333, n 0.75"
    assert repr(stats) == f"ScoreStats({stats.headline})"
    assert stats.summary()["values"]["x"] | {"mean": 0} == {
        **{"num_values": 3, "num_null": 1, "mean": 0, "min": 1.0, "max": 4.0},
        **{"p01": 1.0, "p05": 1.0, "p25": 1.0, "p50": pytest.approx(2.0, rel=0.01)},
        **{"p75": 4.0, "p95": 4.0, "p99": 4.0},
    }
    assert ScoreStats().headline == "0 documents, 0 tokens"
