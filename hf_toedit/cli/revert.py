"""`hf-toedit revert`: the source dataset again, from any one generation alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hf_toedit.cli.options import json_option, quiet_libraries, quiet_option
from hf_toedit.config import SourceConfig
from hf_toedit.errors import RunError

if TYPE_CHECKING:
    import pyarrow as pa

    from hf_toedit.runs.source import Source


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
    source = run
    if (Path(run).expanduser() / PLAN).exists():
        folder = RunFolder(run)
        plan = folder.plan()
        text_column = text_column or plan.source.text_column
        edit_log_column = edit_log_column or plan.run.edit_log_column
        number = plan.generations[-1] if generation is None else generation
        if number not in plan.generations:
            raise RunError(f"{run} has no generation {number}; it has 1 to {plan.generations[-1]}.")
        if edit_log_column is None:
            raise RunError(f"{run} was made with --no-edit-log, so its edits cannot be reverted.")
        folder.merged_stats(plan, number)
        source = str(folder.root / "data" / f"gen{number}")
    elif generation is not None:
        raise RunError(f"{run} is not a run folder, so it has no generations to choose from. Leave --generation out.")
    text_column, edit_log_column = text_column or "text", edit_log_column or "toedit"
    opened = open_source(SourceConfig(source, text_column=text_column))
    check_log_column(opened.features, text_column, edit_log_column)
    schema = source_features(opened.features, edit_log_column).arrow_schema
    counts = {
        split: target.write_rows(
            Path("data") / f"{split}-00000-of-00001.parquet",
            schema,
            _reverted(opened, split, text_column, edit_log_column),
        )
        for split in opened.splits
    }
    if as_json:
        click.echo(json.dumps({"output": str(target.root), "num_rows": counts}, indent=2))
    elif not quiet:
        click.echo(f"Reverted {sum(counts.values()):,} rows. Source rows: {target.root}")


def _reverted(source: Source, split: str, text_column: str, log_column: str) -> Iterator[pa.Table]:
    from hf_toedit.runs.rows import ROW_GROUP, grouped, reverted_table

    for rows in grouped(source.tables(split), text_column, ROW_GROUP):
        yield reverted_table(rows, text_column, log_column)
