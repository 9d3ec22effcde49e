"""`run_shard`: the one idempotent function that edits a shard, through all its generations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from hf_toedit.editing.editor import Editor
from hf_toedit.errors import SourceError
from hf_toedit.rows.rows import ROW_GROUP, Edited, grouped
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.journal import Journal
from hf_toedit.runs.pipeline import Batch, edited_batches
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.writer import Writer
from hf_toedit.stats import EditStats

Progress = Callable[[int, EditStats, bool], None]
"""Called with the generation and the statistics of each batch of rows that is done, and whether it was known before."""


def run_shard(
    plan: Plan, index: int, editor: Editor, folder: RunFolder, progress: Progress | None = None
) -> list[EditStats]:
    """Edit one shard, generation by generation; what is done already, or is in its journal, is not done again.

    Args:
        plan: of the run.
        index: of the shard in the plan.
        editor: made from the plan's prior and settings.
        folder: of the run.
        progress: told of each batch of rows.

    Returns:
        Statistics of each generation.

    Raises:
        RunError: the run folder cannot be written.
        SourceError: the shard's rows cannot be read, or are not those that were planned.
        PriorError: the prior fails on every text.
    """
    shard = plan.shards[index]
    stats = [_run_generation(plan, shard, generation, editor, folder, progress) for generation in plan.generations]
    if plan.run.score_result and folder.result_stats(plan, shard) is None:
        _score_result(plan, shard, editor, folder, progress)
    return stats


def source_rows(plan: Plan, shard: Shard) -> Iterator[pa.Table]:
    """The rows of the source that a shard holds, in order, as Arrow tables of bounded size.

    Args:
        plan: of the run.
        shard: one of its shards.

    Raises:
        SourceError: they cannot be read, or are not those that were planned.
    """
    for piece in shard.pieces:
        yield from plan.reader.tables(plan.files[piece.file], piece.start, piece.stop)


def _run_generation(
    plan: Plan, shard: Shard, generation: int, editor: Editor, folder: RunFolder, progress: Progress | None
) -> EditStats:
    done = folder.stats(plan, generation, shard)
    if done is not None:
        return done

    def fill(writer: Writer) -> EditStats:
        total = EditStats()
        texts = Texts(plan.source)

        def tables() -> Iterator[pa.Table]:
            nonlocal total
            for batch in _edited(plan, shard, generation, editor, rows, journal, progress):
                total = total.merge(batch.edited.stats)
                yield batch.table(texts, plan.run.edit_log_column)

        for group in grouped(tables(), texts, ROW_GROUP):
            writer.write(group)
        return total

    rows, journal = _begun(plan, shard, generation, folder)
    stats = folder.write_shard(plan, generation, shard, fill)
    journal.remove()
    return stats


def _score_result(plan: Plan, shard: Shard, editor: Editor, folder: RunFolder, progress: Progress | None) -> None:
    """Count what one more generation would see, and keep nothing else of it."""
    generation = plan.generations[-1] + 1
    rows, journal = _begun(plan, shard, generation, folder)
    read = _edited(plan, shard, generation, editor, rows, journal, progress)
    folder.write_result_stats(plan, shard, EditStats.merged(batch.edited.stats for batch in read))
    journal.remove()


def _begun(plan: Plan, shard: Shard, generation: int, folder: RunFolder) -> tuple[Iterator[pa.Table], Journal]:
    """The rows that a generation edits, and what is known of it already."""
    if generation == 1:
        return source_rows(plan, shard), folder.journal(plan, generation, shard, None)
    before = folder.sound_sha256(generation - 1, shard)
    if before is None:
        raise SourceError(
            f"{folder.data_path(generation - 1, shard)} is damaged: its bytes are not those that were written. "
            f"Delete it, and run again."
        )
    return folder.tables(plan, generation - 1, shard), folder.journal(plan, generation, shard, before)


def _edited(
    plan: Plan,
    shard: Shard,
    generation: int,
    editor: Editor,
    rows: Iterator[pa.Table],
    journal: Journal,
    progress: Progress | None,
) -> Iterator[Batch]:
    """The rows of a generation, batch by batch, each kept in the journal."""
    is_result = generation not in plan.generations
    log_column = plan.run.edit_log_column
    for batch in edited_batches(editor, rows, Texts(plan.source), log_column, generation, journal.take):
        if not batch.is_known:
            journal.add(batch.rows, Edited([], None, batch.edited.stats) if is_result else batch.edited)
        if progress:
            progress(generation, batch.edited.stats, batch.is_known)
        yield batch
