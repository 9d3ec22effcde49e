"""`run_shard`: the idempotent function that processes a shard, in all passes of its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import pyarrow as pa

from hf_toedit.errors import SourceError
from hf_toedit.mergeable import Statistics
from hf_toedit.rows.rows import ROW_GROUP, grouped
from hf_toedit.runs.chosen import taken
from hf_toedit.runs.journal import Journal
from hf_toedit.runs.passes import Batch, Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import LoadedTask
from hf_toedit.runs.writer import Writer

Progress = Callable[[Pass, Statistics, bool], None]
"""Called with the pass, the statistics of each finished batch of rows, and whether its result was known before."""


def run_shard(
    plan: Plan, index: int, loaded: LoadedTask, folder: RunFolder, progress: Progress | None = None
) -> list[Statistics]:
    """Process one shard, pass by pass; finished passes and batches in the journal are not repeated.

    Args:
        plan: The run's plan.
        index: Index of the shard in the plan.
        loaded: The plan's task, with its model.
        folder: The run folder.
        progress: Callback; called with each batch of rows.

    Returns:
        Statistics of each pass.

    Raises:
        RunError: The run folder cannot be written.
        SourceError: The shard's rows cannot be read, or differ from the planned rows.
        PriorError: The model fails on every text.
    """
    work = _ShardWork(plan, plan.shards[index], loaded, folder, progress)
    return [work.statistics(pass_) for pass_ in plan.passes]


def source_rows(plan: Plan, shard: Shard) -> Iterator[pa.Table]:
    """Yield the source rows of a shard, in order, as Arrow tables of bounded size.

    Args:
        plan: The run's plan.
        shard: One of its shards.

    Raises:
        SourceError: The rows cannot be read, or differ from the planned rows.
        RunError: The plan names rows that do not exist.
    """
    pieces = (plan.reader.tables(plan.files[piece.file], piece.start, piece.stop) for piece in shard.pieces)
    tables = chain.from_iterable(pieces)
    yield from tables if shard.rows is None else taken(tables, shard.rows)


class _ShardWork:
    """Processes one shard, and skips what is already done."""

    def __init__(
        self, plan: Plan, shard: Shard, loaded: LoadedTask, folder: RunFolder, progress: Progress | None
    ) -> None:
        self._plan = plan
        self._shard = shard
        self._loaded = loaded
        self._folder = folder
        self._progress = progress

    def statistics(self, pass_: Pass) -> Statistics:
        """Return the statistics of a pass, after running the pass if it is not done yet."""
        plan, shard, folder = self._plan, self._shard, self._folder
        done = folder.stats(plan, pass_, shard)
        if done is not None:
            return done
        rows, journal = self._begun(pass_)
        batches = self._batches(pass_, rows, journal)
        if pass_.writes_rows:
            stats = folder.write_shard(plan, pass_, shard, lambda writer: self._fill(writer, batches))
        else:
            stats = plan.task.statistics.merged(batch.kept.statistics for batch in batches)
            folder.write_stats(plan, pass_, shard, stats)
        journal.remove()
        return stats

    def _fill(self, writer: Writer, batches: Iterator[Batch]) -> Statistics:
        """Write the rows of all batches, and return their statistics."""
        total = self._plan.task.statistics()

        def tables() -> Iterator[pa.Table]:
            nonlocal total
            for batch in batches:
                total = total.merge(batch.kept.statistics)
                yield batch.table()

        for group in grouped(tables(), self._plan.texts, ROW_GROUP):
            writer.write(group)
        return total

    def _begun(self, pass_: Pass) -> tuple[Iterator[pa.Table], Journal]:
        """Return the rows that a pass reads, and the journal of its finished batches."""
        plan, shard, folder = self._plan, self._shard, self._folder
        if pass_.before is None:
            return source_rows(plan, shard), folder.journal(plan, pass_, shard, None)
        before = folder.sound_sha256(pass_.before, shard)
        if before is None:
            raise SourceError(
                f"{folder.data_path(pass_.before, shard)} is damaged: its bytes are not those that were written. "
                f"Delete it, and run again."
            )
        return folder.tables(plan, pass_.before, shard), folder.journal(plan, pass_, shard, before)

    def _batches(self, pass_: Pass, rows: Iterator[pa.Table], journal: Journal) -> Iterator[Batch]:
        """Yield the results of a pass batch by batch, and add each to the journal."""
        for batch in self._loaded.process(self._plan.texts, rows, pass_, journal.take):
            if not batch.is_known:
                journal.add(batch.rows, batch.kept)
            if self._progress:
                self._progress(pass_, batch.kept.statistics, batch.is_known)
            yield batch
