"""`hf-toedit score`: adds scores to the rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.engines import work_options
from hf_toedit.cli.help import OUTPUT, SELECT, command, option
from hf_toedit.cli.options import (
    Command,
    config_option,
    json_option,
    prior_config,
    prior_options,
    quiet_option,
    resource_options,
    source_argument,
    source_config,
    source_options,
    together,
)
from hf_toedit.cli.plan import Asked, cut_options, estimate_options, output_option, plan_only_option, plan_or_run
from hf_toedit.cli.push import push_to_options

_HOW = "How to score"


def scorer_options(command: Command) -> Command:
    """Scorer and its settings."""
    return together(
        option("--scorer", group=_HOW, default="perplexity", show_default=True, metavar="NAME",
               shell_complete=completion.scorers,
               help="Scorer: perplexity (of --prior), classifier (of --model), length, random, column, a verifier "
               "(exact, numeric, math-answer, rouge1), or MODULE:CLASS."),
        scorer_setting_options,
        prior_options,
        resource_options,
        option("--scores-column", group=OUTPUT, default="scores", show_default=True, metavar="NAME",
               help="Struct column of scores; existing fields are kept."),
    )(command)  # fmt: skip


def scorer_setting_options(command: Command) -> Command:
    """Settings of scorers other than perplexity."""
    return together(
        option("--model", group=_HOW, metavar="NAME", shell_complete=completion.folders,
               help="Classifier: a local folder, or a Hub id."),
        option("--model-revision", group=_HOW, rare=True, metavar="REV",
               help="Branch, tag or commit of a Hub classifier."),
        option("--labels", group=_HOW, rare=True, multiple=True, metavar="NAME",
               help="Labels of the classifier whose logits are kept. Repeatable.  [default: all]"),
        option("--truncate", group=_HOW, rare=True, is_flag=True,
               help="Classify the beginning of a long text only, instead of averaging the logits of all its parts."),
        option("--column", group=_HOW, metavar="PATH", help="Column of numbers (column)."),
        option("--tokenizer", group=_HOW, rare=True, metavar="NAME", shell_complete=completion.folders,
               help="Tokenizer (local folder or Hub id) that counts tokens (length).  [default: count words]"),
        option("--reference-column", group=_HOW, metavar="PATH", help="Column of the right answer (verifiers)."),
        option("--tolerance", group=_HOW, rare=True, type=click.FloatRange(min=0), metavar="E",
               help="Maximum relative error of a right answer (numeric).  [default: 0.02]"),
    )(command)  # fmt: skip


@command(purpose=SELECT, short_help="Score the rows of a dataset.")
@source_argument
@source_options
@scorer_options
@work_options
@output_option
@plan_only_option
@estimate_options
@cut_options
@push_to_options
@config_option
@json_option
@quiet_option
def score(source: str, **options: Any) -> None:
    """Add a struct column of scores to the rows of SOURCE; other columns are unchanged.

    RUN is a run folder like that of `hf-toedit edit`: the same command continues an interrupted run, several machines
    can share it, and it can be verified, pushed and loaded.

    \b
    Examples:
      hf-toedit score sample -o scores
      hf-toedit score org/web -o scores --scorer classifier \\
        --model HuggingFaceFW/fineweb-edu-classifier
    """  # noqa: D301
    plan_or_run(partial(_asked, source, options), options)


def _asked(source: str, options: Mapping[str, Any]) -> Asked:
    """A run of scores requested on the command line.

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
