"""`hf-toedit revert`: the source dataset again, from any one generation alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hf_toedit.cli.options import json_option, quiet_libraries, quiet_option
from hf_toedit.config import SourceConfig
from hf_toedit.errors import RunError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder


@click.command()
@click.argument("run")
@click.option("-o", "--output", required=True, metavar="OUT", help="New folder for the source rows.")
@click.option("--generation", type=int, metavar="G", help="Generation to start from.  [default: the last]")
@click.option("--text-column", metavar="NAME", help="The edited column.  [default: from the run's plan, or text]")
@click.option("--edit-log-column", metavar="NAME", help="Its edit log.  [default: from the run's plan, or toedit]")
@json_option
@quiet_option
def revert(
    run: str,
    output: str,
    generation: int | None,
    text_column: str | None,
    edit_log_column: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Rebuild the source rows of RUN in the folder OUT, exactly, from any one generation alone.

    RUN is a run folder or, as a source of `edit` may be, files or a Hub dataset whose rows carry an edit log. OUT
    holds Parquet files that `datasets.load_dataset(OUT)` loads.
    """
    quiet_libraries(show_progress=False)
    from hf_toedit.runs.rows import check_log_column, source_features
    from hf_toedit.runs.source import open_source
    from hf_toedit.runs.store import PLAN, RunFolder

    target = RunFolder(output)
    target.check_empty()
    if (Path(os.path.expanduser(run)) / PLAN).exists():
        features, splits, columns = _of_run(run, generation, text_column, edit_log_column)
    elif generation is not None:
        raise RunError(f"{run} is not a run folder, so it has no generations to choose from. Leave --generation out.")
    else:
        columns = text_column or "text", edit_log_column or "toedit"
        source = open_source(SourceConfig(run, text_column=columns[0]))
        features, splits = source.features, {split: source.tables(split) for split in source.splits}
    check_log_column(features, *columns)
    schema = source_features(features, columns[1]).arrow_schema
    counts = {
        split: target.write_rows(Path("data") / f"{split}-00000-of-00001.parquet", schema, _reverted(tables, *columns))
        for split, tables in splits.items()
    }
    if as_json:
        click.echo(json.dumps({"output": str(target.root), "num_rows": counts}, indent=2))
    elif not quiet:
        click.echo(f"Reverted {sum(counts.values()):,} rows. Source rows: {target.root}")


def _of_run(
    run: str, generation: int | None, text_column: str | None, log_column: str | None
) -> tuple[Features, dict[str, Iterator[pa.Table]], tuple[str, str]]:
    """Features, rows by split, and text and log column, of one generation of a run folder."""
    from datasets import Features

    from hf_toedit.runs.rows import output_features
    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(run)
    plan = folder.plan()
    number = plan.generations[-1] if generation is None else generation
    if number not in plan.generations:
        raise RunError(f"{run} has no generation {number}; it has 1 to {plan.generations[-1]}.")
    if plan.run.edit_log_column is None:
        raise RunError(f"{run} was made with --no-edit-log, so its edits cannot be reverted.")
    folder.merged_stats(plan, number)
    features = output_features(Features.from_dict(plan.features), plan.run.edit_log_column)
    splits = {split: _tables(folder, plan, number, split) for split in plan.splits}
    return features, splits, (text_column or plan.source.text_column, log_column or plan.run.edit_log_column)


def _tables(folder: RunFolder, plan: Plan, generation: int, split: str) -> Iterator[pa.Table]:
    for shard in plan.shards:
        if shard.split == split:
            yield from folder.tables(generation, shard)


def _reverted(tables: Iterator[pa.Table], text_column: str, log_column: str) -> Iterator[pa.Table]:
    from hf_toedit.runs.rows import ROW_GROUP, grouped, reverted_table

    for rows in grouped(tables, text_column, ROW_GROUP):
        yield reverted_table(rows, text_column, log_column)
