"""`hf-toedit score`: a dataset in, the same rows with scores beside them out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.cli.engines import work_options
from hf_toedit.cli.options import (
    Command,
    config_option,
    json_option,
    prior_config,
    prior_options,
    quiet_option,
    resource_options,
    source_config,
    source_options,
    together,
)
from hf_toedit.cli.plan import Asked, cut_options, estimate_options, output_option, plan_only_option, plan_or_run
from hf_toedit.cli.push import push_to_options


def scorer_options(command: Command) -> Command:
    """Which scorer, and its settings."""
    return together(
        click.option("--scorer", default="perplexity", show_default=True, metavar="NAME",
                     help="perplexity (of --prior), classifier (that of --model), length, random, column, a "
                     "verifier (exact, numeric, math-answer, rouge1), MODULE:CLASS, or MODULE:FUNCTION."),
        click.option("--scores-column", default="scores", show_default=True, metavar="NAME",
                     help="Struct column of the scores; those of other scorers in it stay."),
        prior_options,
        scorer_setting_options,
        resource_options,
    )(command)  # fmt: skip


def scorer_setting_options(command: Command) -> Command:
    """Settings of scorers other than perplexity."""
    return together(
        click.option("--model", metavar="NAME",
                     help="Of the classifier: a local folder, or a Hub id such as "
                     "HuggingFaceFW/fineweb-edu-classifier."),
        click.option("--model-revision", metavar="REV", help="Branch, tag or commit of a Hub classifier."),
        click.option("--labels", multiple=True, metavar="NAME",
                     help="Labels of the classifier whose logits are kept. May be repeated.  [default: all]"),
        click.option("--truncate", is_flag=True,
                     help="Have the classifier read the first part of a long text only; otherwise it reads all of it, "
                     "in parts, and the logits are averaged."),
        click.option("--column", metavar="PATH", help="Column of numbers that is the score; with column."),
        click.option("--tokenizer", metavar="NAME",
                     help="Counts tokens, with length: that of a model in a local folder or on the Hub.  "
                     "[default: count words]"),
        click.option("--reference-column", metavar="PATH",
                     help="What is right: with exact, numeric, math-answer and rouge1."),
        click.option("--tolerance", type=click.FloatRange(min=0), metavar="E",
                     help="Largest relative error that is right; with numeric.  [default: 0.02]"),
    )(command)  # fmt: skip


@click.command(short_help="Score the rows of a dataset.")
@click.argument("source")
@output_option
@cut_options
@plan_only_option
@estimate_options
@source_options
@scorer_options
@work_options
@push_to_options
@config_option
@json_option
@quiet_option
def score(source: str, **options: Any) -> None:
    """Give each row of SOURCE numbers, in a struct column; every other column stays as it was.

    What can be done with a run of edits can be done with RUN as well: it goes on where it was stopped, several machines
    may share it, and it is verified, pushed and loaded in the same way.

    \b
    Examples:
      hf-toedit score sample -o scores
      hf-toedit score org/web -o scores --scorer classifier --model HuggingFaceFW/fineweb-edu-classifier
    """  # noqa: D301
    plan_or_run(partial(_asked, source, options), options)


def _asked(source: str, options: Mapping[str, Any]) -> Asked:
    """A run of scores that was asked for on the command line.

    Raises:
        UsageError: a setting is out of range, or some do not go together.
    """
    from hf_toedit.api.request import RunRequest
    from hf_toedit.scorers.registry import SETTINGS, asked_scorer
    from hf_toedit.tasks.score import ScoreTask

    given = {name: options[name] for name in SETTINGS}
    scorer = asked_scorer(options["scorer"], prior_config(options), **given)
    task = ScoreTask(scorer, options["scores_column"])
    request = RunRequest(source_config(source, dict(options)), task, options["shard_size"], options["num_shards"])
    return Asked(request, options)
