"""`hf-toedit select`: the rows of a dataset that have the right scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.cli.engines import engine, left_to_others, plan_steps_option, work_options
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    Command,
    config_option,
    json_option,
    prior_options,
    quiet_option,
    resource_options,
    source_options,
    together,
)
from hf_toedit.cli.plan import cut_options, output_option, said
from hf_toedit.cli.run import report_run
from hf_toedit.cli.score import scorer_setting_options
from hf_toedit.errors import UsageError

_KEEP = ("highest", "middle", "lowest", "above", "below")
_HOW = (
    "rows", "rate", "threshold", "keep", "score", "seed", "best_of", "best_column", "target", "target_column", "truth",
    "truth_column",
)  # fmt: skip
_SETTINGS = (
    "config_name", "split", "revision", "limit", "columns", "text_column", "context_columns", "messages_column",
    "roles", "prior", "prior_revision", "dtype", "device", "trust_remote_code", "backend", "model", "model_revision",
    "labels", "truncate", "column", "tokenizer", "reference_column", "tolerance", "shard_size", "num_shards",
)  # fmt: skip
"""Options that `hf_toedit.select` has as keyword arguments: which rows are kept, and of the source and the scorer."""


def choice_options(command: Command) -> Command:
    """How many rows are kept, and which."""
    return together(
        click.option("--by", required=True, metavar="SCORER",
                     help="What rows are scored by: dsir, perplexity, classifier, density, random, column, length, a "
                     "verifier (exact, numeric, math-answer, rouge1), or MODULE:CLASS."),
        click.option("--rows", type=click.IntRange(min=1), metavar="N", help="Number of rows to keep."),
        click.option("--rate", type=float, metavar="R", help="Share of all rows to keep, such as 0.125."),
        click.option("--threshold", type=float, metavar="X", help="Score that rows must reach, in the scorer's unit."),
        click.option("--keep", type=click.Choice(_KEEP), help="Which rows.  [default: what is usual for the scorer]"),
        click.option("--score", metavar="NAME", help="Field of the scores to go by.  [default: the first]"),
        click.option("--best-of", metavar="COLUMN",
                     help="List of candidates in each row: choose the one with the best score, and keep every row."),
        click.option("--best-column", default="best", show_default=True, metavar="NAME",
                     help="New column for it, beside NAME_index and NAME_score."),
        click.option("--seed", type=int, default=0, show_default=True, help="Random seed."),
    )(command)  # fmt: skip


def target_options(command: Command) -> Command:
    """What the rows are to be like."""
    return together(
        click.option("--target", metavar="SOURCE", help="Dataset that the rows are to be like; with --by dsir."),
        click.option("--target-column", metavar="PATH", help="Its texts.  [default: as of SOURCE]"),
        click.option("--truth", metavar="VERIFIER",
                     help="Verifier of which rows are right, where they have a reference: reports how well the "
                     "selection tells right from wrong (phi, psi, and the breakdown point)."),
        click.option("--truth-column", metavar="PATH", help="Its references."),
    )(command)  # fmt: skip


@click.command(short_help="Keep the rows with the best scores.")
@click.argument("source")
@output_option
@choice_options
@target_options
@cut_options
@source_options
@prior_options
@scorer_setting_options
@resource_options
@work_options
@plan_steps_option
@config_option
@json_option
@quiet_option
def select(source: str, **options: Any) -> None:
    """Keep the rows of SOURCE that have the right scores; each row stays as it is.

    One of --rows, --rate and --threshold says how many. All rows are scored first; RUN keeps their scores in
    toedit/steps, so that the same command continues where it was stopped. RUN is verified, pushed and loaded as runs of
    edits are.

    \b
    Examples:
      hf-toedit select org/web -o kept --by dsir --target org/papers --rate 0.125
      hf-toedit select org/web -o kept --by perplexity --prior org/model --rate 0.5
      hf-toedit select org/answers -o kept --by math-answer --reference-column answer
    """  # noqa: D301
    if options["output"] is None:
        raise UsageError("where to? Name a run folder with -o.")
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    from hf_toedit.api.select import select_request, select_rows

    asked = select_request(source, options["by"], {name: options[name] for name in _HOW}, _given(options))
    with left_to_others(options):
        run = select_rows(asked, options["output"], partial(engine, options=options), not is_silent, said())
        report_run(run, options)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of source and scorer that are given."""
    return {name: options[name] for name in _SETTINGS if options[name] not in (None, ()) and options[name] is not False}
