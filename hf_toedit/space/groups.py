"""Cached reading of a run's row groups, limited to the requested groups and columns. No Gradio.

A run on the Hub is untrusted: the amount that is read at once is bounded, whatever its files claim.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cachetools import LRUCache, cachedmethod

from hf_toedit.errors import RunError
from hf_toedit.hub import patiently
from hf_toedit.runs.plan import Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.reading import one_line
from hf_toedit.sources.row_groups import column_bytes, named_columns
from hf_toedit.tasks.edit import generation_pass

_GROUP_BYTES, _GROUP_ROWS = 128 * 2**20, 10**6
"""Maximum size of a row group that is read; this tool writes smaller ones."""

_BATCH_ROWS = 64
_CACHE_BYTES = 64 * 2**20
_TRIES = 3
"""Number of attempts if the Hub does not answer; a visitor is waiting."""

_T = TypeVar("_T")


def _key(_: GroupReader, kind: str, generation: int, shard: Shard, group: int | None, *__: object) -> Hashable:
    return kind, generation, shard.name, group


class GroupReader:
    """A cached, thread-safe reader of a run's row groups.

    Each method raises RunError if a file is damaged or too much of it would have to be read, and HubError if the Hub
    does not answer.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Start with an empty cache.

        Args:
            folder: The run folder, whose data may be elsewhere.
        """
        self._folder = folder
        self._cache: LRUCache[Hashable, Any] = LRUCache(_CACHE_BYTES, getsizeof=attrgetter("nbytes"))
        self._lock = threading.Lock()

    def group_sizes(self, generation: int, shard: Shard) -> np.ndarray:
        """Return the number of rows of each row group of a shard; int64 `[groups]`."""
        return self._cached("sizes", generation, shard, None, _sizes)

    def rows(self, generation: int, shard: Shard, group: int, columns: list[str]) -> pa.Table:
        """Return some columns of a row group; `columns` must be the same in every call."""
        return self._cached("rows", generation, shard, group, partial(_columns, columns=columns, group=group))

    def shares(self, generation: int, shard: Shard, group: int, log_column: str) -> np.ndarray:
        """Return the changed share of the tokens that the generation read; 0 where it read none; float64 `[rows]`."""
        return self._cached("shares", generation, shard, group, partial(_shares, log_column=log_column, group=group))

    @cachedmethod(attrgetter("_cache"), key=_key, lock=attrgetter("_lock"))
    def _cached(
        self, kind: str, generation: int, shard: Shard, group: int | None, read: Callable[[pq.ParquetFile], Any]
    ) -> Any:
        """Read from a file, with retries if the Hub does not answer; concurrent requests may both read a value."""

        def attempt() -> Any:
            with self._folder.parquet(generation_pass(generation), shard) as file:
                return read(file)

        def guarded_attempt() -> Any:  # `patiently` would treat any ValueError as an answer of the Hub
            return guarded(generation, shard, attempt)

        try:
            return patiently(guarded_attempt, f"read {_path(generation, shard)}", tries=_TRIES)
        except (OSError, pa.ArrowException) as error:
            raise damaged(generation, shard, one_line(error)) from error


def guarded(generation: int, shard: Shard, call: Callable[[], _T]) -> _T:
    """Call a function that may find data in a shard that this tool does not write.

    Raises:
        RunError: The data is not what this tool writes.
    """
    try:
        return call()
    except (pa.ArrowException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(generation, shard, one_line(error)) from error


def damaged(generation: int, shard: Shard, why: str) -> RunError:
    """Return the error for a damaged shard."""
    return RunError(
        f"{_path(generation, shard)} is damaged, or not of this run: {why} `hf-toedit verify` looks through all files."
    )


def _path(generation: int, shard: Shard) -> str:
    return f"data/{generation_pass(generation).name}/{shard.name}.parquet"


def _sizes(file: pq.ParquetFile) -> np.ndarray:
    return np.array([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)], np.int64)


def _shares(file: pq.ParquetFile, log_column: str, group: int) -> np.ndarray:
    names = ("num_changed", "num_tokens")
    table = _rows(file, [f"{log_column}.{name}" for name in names], group)
    logs = table.column(log_column)
    changed, tokens = (pc.fill_null(pc.struct_field(logs, name), 0).to_numpy().astype(np.float64) for name in names)
    return np.divide(changed, tokens, out=np.zeros(len(table)), where=tokens > 0)


def _columns(file: pq.ParquetFile, columns: list[str], group: int) -> pa.Table:
    return named_columns(_rows(file, columns, group), columns)


def _rows(file: pq.ParquetFile, columns: list[str], group: int) -> pa.Table:
    too_large = RunError("a row group is too large to be looked into here. Load the dataset instead.")
    group_facts = file.metadata.row_group(group)
    if column_bytes(group_facts, columns) > _GROUP_BYTES or group_facts.num_rows > _GROUP_ROWS:
        raise too_large
    batches, num_bytes = [], 0
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
        num_bytes += batch.nbytes
        if num_bytes > _GROUP_BYTES:
            raise too_large
        batches.append(batch)
    return pa.Table.from_batches(batches)
