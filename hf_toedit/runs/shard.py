"""`run_shard`: the one idempotent function that does a shard, through all passes of its task."""

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
"""Called with the pass and the statistics of each batch of rows that is done, and whether it was known before."""


def run_shard(
    plan: Plan, index: int, loaded: LoadedTask, folder: RunFolder, progress: Progress | None = None
) -> list[Statistics]:
    """Do one shard, pass by pass; what is done already, or is in its journal, is not done again.

    Args:
        plan: of the run.
        index: of the shard in the plan.
        loaded: the plan's task, with its model.
        folder: of the run.
        progress: told of each batch of rows.

    Returns:
        Statistics of each pass.

    Raises:
        RunError: the run folder cannot be written.
        SourceError: the shard's rows cannot be read, or are not those that were planned.
        PriorError: the model fails on every text.
    """
    work = _ShardWork(plan, plan.shards[index], loaded, folder, progress)
    return [work.statistics(pass_) for pass_ in plan.passes]


def source_rows(plan: Plan, shard: Shard) -> Iterator[pa.Table]:
    """The rows of the source that a shard holds, in order, as Arrow tables of bounded size.

    Args:
        plan: of the run.
        shard: one of its shards.

    Raises:
        SourceError: they cannot be read, or are not those that were planned.
        RunError: the plan names rows that are not there.
    """
    pieces = (plan.reader.tables(plan.files[piece.file], piece.start, piece.stop) for piece in shard.pieces)
    tables = chain.from_iterable(pieces)
    yield from tables if shard.rows is None else taken(tables, shard.rows)


class _ShardWork:
    """What is done of a shard, and what is not yet."""

    def __init__(
        self, plan: Plan, shard: Shard, loaded: LoadedTask, folder: RunFolder, progress: Progress | None
    ) -> None:
        self._plan = plan
        self._shard = shard
        self._loaded = loaded
        self._folder = folder
        self._progress = progress

    def statistics(self, pass_: Pass) -> Statistics:
        """Of a pass, which is done first where it is not done yet."""
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
        """Write the rows of all batches, and count them."""
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
        """The rows that a pass reads, and what is known of it already."""
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
        """The rows of a pass, batch by batch, each kept in the journal."""
        for batch in self._loaded.process(self._plan.texts, rows, pass_, journal.take):
            if not batch.is_known:
                journal.add(batch.rows, batch.kept)
            if self._progress:
                self._progress(pass_, batch.kept.statistics, batch.is_known)
            yield batch
