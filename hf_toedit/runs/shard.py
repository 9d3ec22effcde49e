"""`run_shard`: the one idempotent function that edits a shard, through all its generations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from datasets import Features

from hf_toedit.editing.editor import ToEditor
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.rows import EDIT_BATCH, ROW_GROUP, edit_table, grouped, output_features
from hf_toedit.runs.source import Source
from hf_toedit.runs.store import RunFolder, Writer
from hf_toedit.stats import EditStats

Progress = Callable[[int, EditStats], None]
"""Called with the generation and the statistics of each batch of rows as it is done."""


def run_shard(
    plan: Plan,
    index: int,
    editor: ToEditor,
    folder: RunFolder,
    source: Source,
    progress: Progress | None = None,
) -> list[EditStats]:
    """Edit one shard, generation by generation; what is done already is not done again.

    Args:
        plan: of the run.
        index: of the shard in the plan.
        editor: made from the plan's prior and settings.
        folder: of the run.
        source: opened from the plan's source.
        progress: told of each batch of rows.

    Returns:
        Statistics of each generation.

    Raises:
        RunError: the run folder cannot be written.
    """
    shard = plan.shards[index]
    return [
        _run_generation(plan, shard, generation, editor, folder, source, progress) for generation in plan.generations
    ]


def _run_generation(
    plan: Plan,
    shard: Shard,
    generation: int,
    editor: ToEditor,
    folder: RunFolder,
    source: Source,
    progress: Progress | None,
) -> EditStats:
    done = folder.stats(plan, generation, shard)
    if done is not None:
        if progress:
            progress(generation, done)
        return done
    text_column, log_column = plan.source.text_column, plan.run.edit_log_column

    def edited(rows: pa.Table) -> Iterator[tuple[pa.Table, EditStats]]:
        for batch in grouped([rows], text_column, EDIT_BATCH):
            table, stats = edit_table(editor, batch, text_column, log_column, generation)
            if progress:
                progress(generation, stats)
            yield table, stats

    def fill(writer: Writer) -> EditStats:
        total = EditStats()
        for rows in grouped(_input(plan, shard, generation, folder, source), text_column, ROW_GROUP):
            parts, stats = zip(*edited(rows), strict=True)
            writer.write(pa.concat_tables(parts))
            total = EditStats.merged([total, *stats])
        return total

    schema = output_features(Features.from_dict(plan.features), log_column).arrow_schema
    return folder.write_shard(plan, generation, shard, schema, fill)


def _input(plan: Plan, shard: Shard, generation: int, folder: RunFolder, source: Source) -> Iterator[pa.Table]:
    """Rows of the source, or of the generation before."""
    if generation == 1:
        return source.tables(shard.split, plan.source.limit)
    return folder.tables(generation - 1, shard)
