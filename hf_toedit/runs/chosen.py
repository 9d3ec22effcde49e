"""Row selections of a shard, in any order and with repeats, encoded compactly enough for a plan of millions of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hf_toedit.errors import RunError, UsageError
from hf_toedit.packed import packed, unpacked

if TYPE_CHECKING:
    import pyarrow as pa

_TAKEN = 1000
"""Rows per output table when the selected rows are in arbitrary order."""


def encoded(rows: np.ndarray) -> str:
    """Encode row numbers as a string.

    The string holds the packed differences between successive row numbers (the first relative to -1). One row in eight,
    drawn at random from ten million, takes about 1.2 MB.

    Args:
        rows: Row numbers, int64 `[n]`.
    """
    return packed(np.diff(np.asarray(rows, np.int64), prepend=-1))


def decoded(text: str, count: int) -> np.ndarray:
    """Decode row numbers from a string of `encoded`; the string is untrusted.

    Args:
        text: The string.
        count: Expected number of rows.

    Returns:
        int64 `[count]`, all non-negative.

    Raises:
        UsageError: The string is not such an encoding, or it holds a different number of rows.
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
    """Yield the selected rows as tables of bounded size.

    If the row numbers ascend without repeats, the tables are streamed; otherwise all tables are held in memory.

    Args:
        tables: All rows of a shard, in order.
        rows: Row numbers to select, int64 `[n]`.

    Raises:
        RunError: A row number is out of range.
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
            return  # the remaining tables are not read
    _check_there(rows, first)


def _check_there(rows: np.ndarray, count: int) -> None:
    if len(rows) and rows.max() >= count:
        raise RunError(f"the plan names row {rows.max():,} of a shard of {count:,} rows. Plan the run again.")
