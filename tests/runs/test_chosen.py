"""Rows chosen from those of a shard: as a string in the plan, and as tables."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.errors import RunError, UsageError
from hf_toedit.runs.chosen import decoded, encoded, taken
from hf_toedit.runs.plan import RowRange, Shard
from hf_toedit.runs.planning import chosen_shards
from hf_toedit.sources.model import SourceFile

FILE = SourceFile("a.parquet", 1, None)
ANY_ROWS = st.lists(st.integers(0, 2**40), max_size=60).map(lambda rows: np.array(rows, np.int64))


@given(ANY_ROWS)
def test_any_rows_come_back_from_their_string(rows: np.ndarray) -> None:
    assert decoded(encoded(rows), len(rows)).tolist() == rows.tolist()


def test_a_plan_of_millions_of_rows_stays_small() -> None:
    rows = np.flatnonzero(np.random.default_rng(0).random(1_000_000) < 0.125)
    assert len(encoded(rows)) < 130_000


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        base64.b64encode(b"not zlib").decode(),
        base64.b64encode(zlib.compress(b"1234567")).decode(),
        encoded(np.array([1, 2])),
        encoded(np.array([1, 2, 3, 4])),
        base64.b64encode(zlib.compress(bytes(10**7))).decode(),
    ],
)
def test_what_does_not_hold_so_many_rows_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="row number"):
        decoded(text, 3)


def test_negative_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="negative"):
        decoded(encoded(np.array([2, -1])), 2)


@given(st.lists(st.integers(0, 29), max_size=40), st.lists(st.integers(0, 9), min_size=3, max_size=3), st.booleans())
def test_rows_are_taken_in_the_order_that_is_asked_for(rows: list[int], cuts: list[int], ascending: bool) -> None:
    rows = sorted(set(rows)) if ascending else rows
    borders = [0, *sorted(np.cumsum(cuts)), 30]
    tables = [pa.table({"n": pa.array(range(start, stop), pa.int64())}) for start, stop in pairwise(borders)]
    found = [value for table in taken(tables, np.array(rows, np.int64)) for value in table["n"].to_pylist()]
    assert found == rows


def test_in_ascending_order_what_comes_after_is_not_read() -> None:
    def tables() -> Iterator[pa.Table]:
        yield pa.table({"n": [0, 1]})
        yield pa.table({"n": [2, 3]})
        raise AssertionError("this is not needed")

    assert [table.to_pydict() for table in taken(tables(), np.array([1, 2]))] == [{"n": [1]}, {"n": [2]}]


@pytest.mark.parametrize("rows", [[1, 7], [7, 1]])
def test_rows_that_are_not_there_are_named(rows: list[int]) -> None:
    with pytest.raises(RunError, match="row 7 of a shard of 2 rows"):
        list(taken([pa.table({"n": [0, 1]})], np.array(rows)))


def shard(split: str, index: int, count: int, num_rows: int) -> Shard:
    return Shard(split, index, count, num_rows, 10 * num_rows, (RowRange(0, 0, num_rows),))


def test_shards_hold_their_own_of_the_rows_and_are_numbered_anew() -> None:
    shards = [shard("train", 0, 3, 4), shard("train", 1, 3, 2), shard("train", 2, 3, 3), shard("test", 0, 1, 2)]
    found = chosen_shards(shards, [4, 2, 3, 2], np.array([1, 3, 6, 7, 8]))
    assert [part.name for part in found] == ["train-00000-of-00002", "train-00001-of-00002"]
    assert [None if part.rows is None else part.rows.tolist() for part in found] == [[1, 3], None]
    assert [(part.num_rows, part.num_bytes) for part in found] == [(2, 20), (3, 30)]


def test_shards_keep_the_order_and_the_repeats_of_their_rows() -> None:
    found = chosen_shards([shard("train", 0, 2, 3), shard("train", 1, 2, 3)], [3, 3], np.array([5, 2, 2, 3, 0, 5]))
    assert [part.rows.tolist() for part in found if part.rows is not None] == [[2, 2, 0], [2, 0, 2]]


def test_a_shard_whose_rows_are_damaged_says_so() -> None:
    damaged = Shard("train", 0, 1, 2, 10, (RowRange(0, 0, 9),), "AAAA")
    assert damaged.problem([FILE]) == "chosen is damaged: it does not hold row numbers"
    uncounted = Shard("train", 0, 1, None, 10, (RowRange(0, 0, 9),), encoded(np.array([1])))
    assert "the number of rows" in str(uncounted.problem([FILE]))
