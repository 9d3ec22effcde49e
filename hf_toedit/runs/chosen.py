"""Rows chosen from those of a shard, in any order and any number of times, small enough for a plan of millions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hf_toedit.errors import RunError, UsageError
from hf_toedit.packed import packed, unpacked

if TYPE_CHECKING:
    import pyarrow as pa

_TAKEN = 1000
"""Rows of a table that is made of rows from anywhere in a shard."""


def encoded(rows: np.ndarray) -> str:
    """Row numbers as a string.

    The distance of each from the one before (the first from -1), packed. One row in eight, drawn at random from ten
    million, takes about 1.2 MB.

    Args:
        rows: int64 `[n]`.
    """
    return packed(np.diff(np.asarray(rows, np.int64), prepend=-1))


def decoded(text: str, count: int) -> np.ndarray:
    """Row numbers from what `encoded` gave; it may come from anyone.

    Args:
        text: The string.
        count: How many there are.

    Returns:
        int64 `[count]`, none of them negative.

    Raises:
        UsageError: It did not, or holds another number of rows.
    """
    try:
        steps = unpacked(text, count)
    except ValueError as error:
        raise UsageError("it does not hold row numbers") from error
    if len(steps) != count:
        raise UsageError(f"it does not hold {count:,} row numbers")
    rows = np.cumsum(steps, dtype=np.int64) - 1
    if count and rows.min() < 0:
        raise UsageError("it holds a negative row number")
    return rows


def taken(tables: Iterable[pa.Table], rows: np.ndarray) -> Iterator[pa.Table]:
    """The chosen rows, as tables of bounded size.

    In ascending order without repeats they are taken as the tables come; in any other, all tables are held in memory.

    Args:
        tables: All rows of a shard, in order.
        rows: int64 `[n]`, their numbers.

    Raises:
        RunError: There is no such row.
    """
    if np.all(rows[1:] > rows[:-1]):
        yield from _in_order(tables, rows)
        return
    import pyarrow as pa

    whole = pa.concat_tables(tables)
    _check_there(rows, len(whole))
    for start in range(0, len(rows), _TAKEN):
        yield whole.take(rows[start : start + _TAKEN])


def _in_order(tables: Iterable[pa.Table], rows: np.ndarray) -> Iterator[pa.Table]:
    first = 0
    for table in tables:
        start, stop = np.searchsorted(rows, (first, first + len(table)))
        if stop - start == len(table):
            yield table
        elif stop > start:
            yield table.take(rows[start:stop] - first)
        first += len(table)
        if stop == len(rows):
            return  # what comes after is not read
    _check_there(rows, first)


def _check_there(rows: np.ndarray, count: int) -> None:
    if len(rows) and rows.max() >= count:
        raise RunError(f"the plan names row {rows.max():,} of a shard of {count:,} rows. Plan the run again.")
