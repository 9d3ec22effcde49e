"""`hf-toedit select`: keeps the rows of a dataset with the best scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.engines import engine, left_to_others, plan_steps_option, work_options
from hf_toedit.cli.help import OUTPUT, SELECT, command, option
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    Command,
    config_option,
    json_option,
    prior_options,
    quiet_option,
    resource_options,
    source_argument,
    source_options,
    together,
)
from hf_toedit.cli.plan import cut_options, output_option, said
from hf_toedit.cli.run import report_run
from hf_toedit.cli.score import scorer_setting_options
from hf_toedit.errors import UsageError

_CHOICE = "What to keep"
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
    """Number of rows to keep, and their choice."""
    return together(
        option("--by", group=_CHOICE, required=True, metavar="SCORER", shell_complete=completion.all_scorers,
               help="Scorer: dsir, perplexity, classifier, density, random, column, length, a verifier (exact, "
               "numeric, math-answer, rouge1), or MODULE:CLASS."),
        option("--rows", group=_CHOICE, type=click.IntRange(min=1), metavar="N", help="Number of rows to keep."),
        option("--rate", group=_CHOICE, type=float, metavar="R", help="Share of all rows to keep, such as 0.125."),
        option("--threshold", group=_CHOICE, type=float, metavar="X", help="Score that rows must reach."),
        option("--keep", group=_CHOICE, type=click.Choice(_KEEP),
               help="Part of the rows to keep.  [default: by scorer]"),
        option("--score", group=_CHOICE, rare=True, metavar="NAME",
               help="Field of the scores to select by.  [default: the first]"),
        option("--best-of", group=_CHOICE, metavar="COLUMN",
               help="Column with a list of candidates: choose the best one per row, and keep every row."),
        option("--best-column", group=OUTPUT, rare=True, default="best", show_default=True, metavar="NAME",
               help="New column of --best-of, beside NAME_index and NAME_score."),
        option("--seed", group=_CHOICE, rare=True, type=int, default=0, show_default=True, metavar="N",
               help="Random seed."),
    )(command)  # fmt: skip


def target_options(command: Command) -> Command:
    """Target dataset, and truth."""
    return together(
        option("--target", group=_CHOICE, metavar="SOURCE", shell_complete=completion.sources,
               help="Dataset that the rows should resemble (--by dsir)."),
        option("--target-column", group=_CHOICE, rare=True, metavar="PATH",
               help="Column of its texts.  [default: as of SOURCE]"),
        option("--truth", group=_CHOICE, rare=True, metavar="VERIFIER",
               help="Verifier of right rows; reports how well the selection separates right from wrong (phi, psi, and "
               "the breakdown point)."),
        option("--truth-column", group=_CHOICE, rare=True, metavar="PATH", help="Column of the references of --truth."),
    )(command)  # fmt: skip


@command(purpose=SELECT, short_help="Keep the rows with the best scores.")
@source_argument
@source_options
@choice_options
@target_options
@scorer_setting_options
@prior_options
@resource_options
@work_options
@output_option
@plan_steps_option
@cut_options
@config_option
@json_option
@quiet_option
def select(source: str, **options: Any) -> None:
    """Keep the rows of SOURCE with the best scores: --rows, --rate or --threshold.

    All rows are scored first. The same command continues an interrupted selection, from the scores in RUN/toedit/steps.

    \b
    Examples:
      hf-toedit select org/web -o kept --by dsir --target org/papers --rate 0.125
      hf-toedit select sample -o kept --by perplexity --rate 0.5
      hf-toedit select org/sums -o kept --by numeric --reference-column answer
    """  # noqa: D301
    if options["output"] is None:
        raise UsageError("no output folder. Name one with -o.")
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
