"""`hf-toedit edit`: a dataset in, a run folder out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_toedit import __version__
from hf_toedit.cli.options import (
    config_option,
    edit_config,
    edit_options,
    json_option,
    prior_config,
    quiet_libraries,
    quiet_option,
    source_config,
    source_options,
)
from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.errors import RunError

if TYPE_CHECKING:
    from hf_toedit.editing.piece_table import PieceTable
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.stats import EditStats

_EXAMPLES = 3
_EXAMPLE_PLACES = 3


@click.command()
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="RUN", help="The run folder to write, new or of the same run.")
@click.option("--generations", type=int, default=1, show_default=True, metavar="G", help="Edit the result again.")
@click.option("--edit-log-column", default="toedit", show_default=True, metavar="NAME", help="Where edits are logged.")
@click.option("--no-edit-log", is_flag=True, help="Leave the edit log out; the result cannot be reverted then.")
@source_options
@edit_options
@config_option
@json_option
@quiet_option
def edit(source: str, output: str, **options: Any) -> None:
    """Edit SOURCE into the run folder RUN, which `datasets.load_dataset(RUN)` loads.

    SOURCE is a Parquet, JSON lines, CSV or text file (also .gz and .zst), a glob, a `save_to_disk` folder, a Hub
    dataset (org/name), or `sample`, the dataset that comes with hf-toedit. A run that was interrupted goes on where
    it stopped when the same command is given again.

    \b
    Examples:
      hf-toedit edit sample -o run --generations 3
      hf-toedit edit stories.jsonl.gz -o run --prior org/model --protect numbers
    """  # noqa: D301
    log_column = None if options["no_edit_log"] else options["edit_log_column"]
    run_config = RunConfig(options["generations"], log_column)
    asked = source_config(source, options), prior_config(options), edit_config(options), run_config
    quiet = options["quiet"] or options["as_json"]
    folder, plan, generations = _run(output, *asked, options["token_budget"], quiet)
    if options["as_json"]:
        figures = [{"generation": number, **stats.summary()} for number, stats in enumerate(generations, start=1)]
        click.echo(json.dumps({"run": str(folder.root), "generations": figures}, indent=2))
    elif not options["quiet"]:
        _report(folder, plan, generations)


def _run(
    output: str,
    asked_source: SourceConfig,
    asked_prior: PriorConfig,
    edit_settings: EditConfig,
    run_settings: RunConfig,
    token_budget: int | None,
    quiet: bool,
) -> tuple[RunFolder, Plan, list[EditStats]]:
    """Open, plan, edit and describe; cheap checks first, the prior last."""
    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(output)
    folder.check()
    if folder.root.resolve().is_relative_to(Path(asked_source.source).resolve()):
        raise RunError(
            f"{output} lies inside {asked_source.source}, and would be read as a part of it. Name another -o."
        )
    quiet_libraries(show_progress=not quiet, quiet=quiet)
    from hf_toedit.cards.card import render_card
    from hf_toedit.cli.output import EditProgress
    from hf_toedit.editing.editor import ToEditor
    from hf_toedit.priors.base import load_prior
    from hf_toedit.runs.plan import make_plan
    from hf_toedit.runs.rows import check_text_column
    from hf_toedit.runs.shard import run_shard
    from hf_toedit.runs.source import open_source

    source = open_source(asked_source)
    check_text_column(source.features, asked_source.text_column, run_settings.edit_log_column)
    prior = load_prior(asked_prior, token_budget)
    plan = make_plan(
        source_config=asked_source,
        source_revision=source.revision,
        features=source.features.to_dict(),
        rows_by_split={split: source.num_rows(split, asked_source.limit) for split in source.splits},
        prior_config=replace(asked_prior, dtype=prior.dtype),
        prior_revision=prior.revision,
        edit=edit_settings,
        run=run_settings,
        version=__version__,
    )
    folder.open(plan)
    editor = ToEditor(prior, edit_settings)
    with EditProgress(sum(shard.num_rows for shard in plan.shards) * run_settings.generations, quiet) as progress:
        for index in range(len(plan.shards)):
            run_shard(plan, index, editor, folder, source, progress)
    generations = [folder.merged_stats(plan, generation) for generation in plan.generations]
    folder.write_text("README.md", render_card(plan, generations))
    return folder, plan, generations


def _report(folder: RunFolder, plan: Plan, generations: list[EditStats]) -> None:
    from rich.text import Text

    from hf_toedit.cli.output import console, diff_line, first_changed, generations_table

    screen = console()
    screen.print(generations_table(generations))
    for table in first_changed(_written(folder, plan), _EXAMPLES):
        screen.print()
        screen.print(diff_line(table, _EXAMPLE_PLACES, screen.color_system is not None))
    skipped = sum(generations[0].num_rows_skipped.values())
    if skipped:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(generations[0].num_rows_skipped.items()))
        screen.print(f"\nRows passed through unread: {skipped} ({causes})")
    screen.print()
    screen.print(Text(f"Run folder: {folder.root}"))


def _written(folder: RunFolder, plan: Plan) -> Iterator[PieceTable | None]:
    """The texts of the last generation, with their edits."""
    from hf_toedit.runs.rows import piece_tables

    if plan.run.edit_log_column is None:
        return
    columns = [plan.source.text_column, plan.run.edit_log_column]
    for shard in plan.shards:
        for table in folder.tables(plan.generations[-1], shard, columns):
            yield from piece_tables(table, *columns)
