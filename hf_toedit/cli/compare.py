"""`hf-toedit compare`: how datasets differ from the first of them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from hf_toedit.cli.engines import engine, interruptible, left_to_others, plan_steps_option, work_options
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    json_option,
    messages_column_option,
    quiet_option,
    resource_options,
    roles_option,
    text_column_option,
)


@click.command(short_help="Report how datasets differ.")
@click.argument("variants", nargs=-1, required=True, metavar="NAME=SOURCE...")
@click.option("-o", "--output", required=True, metavar="REPORT", help="The folder of the report to write.")
@click.option(
    "--prior",
    "priors",
    multiple=True,
    metavar="NAME",
    help="Model that reads all texts, so that perplexities are compared as well. May be repeated.",
)
@click.option(
    "--embedder",
    metavar="NAME",
    help="Model that gives documents vectors to compare and draw: one of sentence-transformers, or a causal "
    "language model (mean last hidden states). Needs hf-toedit[analysis].",
)
@click.option(
    "--epsilon",
    type=float,
    metavar="BITS",
    help="KL divergence up to which data are called semi-synthetic.  [default: twice the noise floor]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed for samples and intervals.")
@click.option("--split", metavar="NAME", help="One split of each source.  [default: every split]")
@click.option("--sample", type=int, metavar="N", help="Only N rows of each source, drawn evenly from its files.")
@click.option("--limit", type=int, metavar="N", help="Only the first N rows of each split.")
@click.option(
    "--push-to",
    metavar="ORG/NAME",
    help="Add the report to this Hub dataset, beside its data, and link it in the card. A new dataset is private.",
)
@plan_steps_option
@text_column_option
@messages_column_option
@roles_option
@resource_options
@work_options
@json_option
@quiet_option  # fmt: skip
def compare(variants: tuple[str, ...], output: str, **options: Any) -> None:
    """Report how datasets differ from the first one, the reference.

    Compares their words and pairs of words (n-grams), lengths and variety and, with --prior, how likely a language
    model finds their texts. A difference counts only where it is above the noise: how far samples of one dataset
    differ from each other. SOURCE is as for `hf-toedit edit`; RUN:gen2 is a generation of a run folder.

    REPORT is a folder: report.md with pictures in assets/, report.html (the same in one file), and report.json. What
    was counted is kept in work/, so that the same command continues where it was stopped.

    \b
    Examples:
      hf-toedit compare human=org/web synthetic=org/cosmopedia -o report
      hf-toedit compare human=stories.jsonl edited=run:gen3 -o report --prior org/model
    """  # noqa: D301
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    from hf_toedit.analysis.report import MARKDOWN
    from hf_toedit.api.compare import compare as compare_datasets
    from hf_toedit.api.named import parsed
    from hf_toedit.hub.repository import Repository
    from hf_toedit.publish.report import push_report

    repo = options["push_to"]
    if repo is not None:
        Repository(repo)  # refuses what is no name of one, before the work is done
    names = ("split", "limit", "text_column", "messages_column", "roles")
    with interruptible(), left_to_others(options):
        report = compare_datasets(
            parsed(variants, "variant"),
            output,
            priors=options["priors"],
            embedder=options["embedder"],
            epsilon=options["epsilon"],
            sample=options["sample"],
            seed=options["seed"],
            engines=partial(engine, options=options),
            progress=not is_silent,
            **{name: options[name] for name in names if options[name] not in (None, ())},
        )
        address = push_report(output, repo) if repo is not None else None
        if options["as_json"]:
            click.echo(json.dumps(report, indent=2))
        elif not options["quiet"]:
            for name, found in report["comparisons"].items():
                click.echo(f"{name} against {report['reference']}: {found['verdict']}, since {found['reason']}")
            click.echo(f"Report: {Path(output) / MARKDOWN}")
            if address:
                click.echo(f"Pushed: {address}")
