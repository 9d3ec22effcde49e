"""`run_shard`: the one idempotent function that edits a shard, through all its generations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from hf_toedit.editing.editor import ToEditor
from hf_toedit.errors import SourceError
from hf_toedit.runs.pipeline import edited_tables
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.rows import ROW_GROUP, grouped
from hf_toedit.runs.store import RunFolder, Writer
from hf_toedit.runs.texts import Texts
from hf_toedit.stats import EditStats

Progress = Callable[[int, EditStats], None]
"""Called with the generation and the statistics of each batch of rows as it is done."""


def run_shard(
    plan: Plan, index: int, editor: ToEditor, folder: RunFolder, progress: Progress | None = None
) -> list[EditStats]:
    """Edit one shard, generation by generation; what is done already is not done again.

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
    plan: Plan, shard: Shard, generation: int, editor: ToEditor, folder: RunFolder, progress: Progress | None
) -> EditStats:
    done = folder.stats(plan, generation, shard)
    if done is not None:
        return done

    def fill(writer: Writer) -> EditStats:
        total = EditStats()

        def tables() -> Iterator[pa.Table]:
            nonlocal total
            for table, stats in _edited(plan, shard, generation, editor, folder, progress):
                total = total.merge(stats)
                yield table

        for rows in grouped(tables(), Texts(plan.source), ROW_GROUP):
            writer.write(rows)
        return total

    return folder.write_shard(plan, generation, shard, fill)


def _score_result(plan: Plan, shard: Shard, editor: ToEditor, folder: RunFolder, progress: Progress | None) -> None:
    """Count what one more generation would see, and keep nothing else of it."""
    read = _edited(plan, shard, plan.generations[-1] + 1, editor, folder, progress)
    folder.write_result_stats(plan, shard, EditStats.merged(stats for _, stats in read))


def _edited(
    plan: Plan, shard: Shard, generation: int, editor: ToEditor, folder: RunFolder, progress: Progress | None
) -> Iterator[tuple[pa.Table, EditStats]]:
    """The rows of a generation, batch by batch, and what was counted."""
    rows = source_rows(plan, shard) if generation == 1 else _rows_before(plan, shard, generation, folder)
    for table, stats in edited_tables(editor, rows, Texts(plan.source), plan.run.edit_log_column, generation):
        if progress:
            progress(generation, stats)
        yield table, stats


def _rows_before(plan: Plan, shard: Shard, generation: int, folder: RunFolder) -> Iterator[pa.Table]:
    """The rows of the generation before, which may have been written long ago."""
    if not folder.is_sound(generation - 1, shard):
        raise SourceError(
            f"{folder.data_path(generation - 1, shard)} is damaged: its bytes are not those that were written. "
            f"Delete it, and run again."
        )
    return folder.tables(plan, generation - 1, shard)
