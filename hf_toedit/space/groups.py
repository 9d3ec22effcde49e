"""Row groups of a run's files: as few of them, and of their columns, as are asked for, the last ones kept. No Gradio.

A run on the Hub may come from anyone: what is read of it at once is bounded, whatever its files say of themselves.
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
from hf_toedit.sources.row_groups import column_bytes
from hf_toedit.tasks.edit import generation_pass

_GROUP_BYTES, _GROUP_ROWS = 128 * 2**20, 10**6
"""Of a row group that is looked into, at most; this tool writes smaller ones."""

_BATCH_ROWS = 64
_CACHE_BYTES = 64 * 2**20
_TRIES = 3
"""Of a Hub that does not answer: somebody waits."""

_T = TypeVar("_T")


def _key(_: GroupReader, kind: str, generation: int, shard: Shard, group: int | None, *__: object) -> Hashable:
    return kind, generation, shard.name, group


class GroupReader:
    """Reads row groups of a run; any thread may call, and what is asked for again is there.

    Each method raises RunError where a file is damaged or too much of it would have to be read, and HubError where the
    Hub does not answer.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Nothing is read yet.

        Args:
            folder: of the run, whose data may lie elsewhere.
        """
        self._folder = folder
        self._cache: LRUCache[Hashable, Any] = LRUCache(_CACHE_BYTES, getsizeof=attrgetter("nbytes"))
        self._lock = threading.Lock()

    def group_sizes(self, generation: int, shard: Shard) -> np.ndarray:
        """int64 `[groups]`: rows of the row groups of a shard."""
        return self._cached("sizes", generation, shard, None, _sizes)

    def rows(self, generation: int, shard: Shard, group: int, columns: list[str]) -> pa.Table:
        """Some columns of a row group; always the same ones."""
        return self._cached("rows", generation, shard, group, partial(_rows, columns=columns, group=group))

    def shares(self, generation: int, shard: Shard, group: int, log_column: str) -> np.ndarray:
        """float64 `[rows]`: tokens that the generation changed, of those it read; 0 where it read none."""
        return self._cached("shares", generation, shard, group, partial(_shares, log_column=log_column, group=group))

    @cachedmethod(attrgetter("_cache"), key=_key, lock=attrgetter("_lock"))
    def _cached(
        self, kind: str, generation: int, shard: Shard, group: int | None, read: Callable[[pq.ParquetFile], Any]
    ) -> Any:
        """Read of a file, and again where the Hub did not answer; two who ask at once may both do so."""

        def attempt() -> Any:
            with self._folder.parquet(generation_pass(generation), shard) as file:
                return read(file)

        def guarded_attempt() -> Any:  # whatever is a ValueError would be taken for an answer of the Hub
            return guarded(generation, shard, attempt)

        try:
            return patiently(guarded_attempt, f"read {_path(generation, shard)}", tries=_TRIES)
        except (OSError, pa.ArrowException) as error:
            raise damaged(generation, shard, one_line(error)) from error


def guarded(generation: int, shard: Shard, call: Callable[[], _T]) -> _T:
    """Call something that may find in a shard what this tool does not write.

    Raises:
        RunError: it does.
    """
    try:
        return call()
    except (pa.ArrowException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(generation, shard, one_line(error)) from error


def damaged(generation: int, shard: Shard, why: str) -> RunError:
    """The error to raise of a shard."""
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


def _rows(file: pq.ParquetFile, columns: list[str], group: int) -> pa.Table:
    too_large = RunError("a row group is too large to be looked into here. Load the dataset instead.")
    told = file.metadata.row_group(group)
    if column_bytes(told, columns) > _GROUP_BYTES or told.num_rows > _GROUP_ROWS:
        raise too_large
    batches, num_bytes = [], 0
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
        num_bytes += batch.nbytes
        if num_bytes > _GROUP_BYTES:
            raise too_large
        batches.append(batch)
    return pa.Table.from_batches(batches)
