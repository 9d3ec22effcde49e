"""`hf-toedit compare`: reports how datasets differ from the first one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.engines import engine, interruptible, left_to_others, plan_steps_option, work_options
from hf_toedit.cli.help import JUDGE, OUTPUT, SOURCE, command, option
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    json_option,
    limit_option,
    messages_column_option,
    quiet_option,
    resource_options,
    roles_option,
    split_option,
    text_column_option,
)
from hf_toedit.cli.push import report_push_option

MEASURES = "What to measure"


@command(purpose=JUDGE, short_help="Report how datasets differ.")
@click.argument("variants", nargs=-1, required=True, metavar="NAME=SOURCE...", shell_complete=completion.files)
@split_option
@option("--sample", group=SOURCE, type=int, metavar="N", help="Number of rows per source, from all its files.")
@limit_option
@text_column_option
@messages_column_option
@roles_option
@option("--prior", "priors", group=MEASURES, multiple=True, metavar="NAME", shell_complete=completion.priors,
        help="Language model for perplexities. Repeatable.")  # fmt: skip
@option("--embedder", group=MEASURES, metavar="NAME",
        help="Model for document embeddings: sentence-transformers, or a causal "
        "language model (mean last hidden state). Requires hf-toedit[analysis].")  # fmt: skip
@option("--epsilon", group=MEASURES, type=float, metavar="BITS",
        help="Maximum KL divergence of semi-synthetic data.  [default: twice the noise floor]")  # fmt: skip
@option("--seed", group=MEASURES, type=int, default=0, show_default=True, metavar="N",
        help="Random seed for samples and intervals.")  # fmt: skip
@option("-o", "--output", group=OUTPUT, required=True, metavar="REPORT", shell_complete=completion.folders,
        help="Report folder to write.")  # fmt: skip
@report_push_option
@plan_steps_option
@resource_options
@work_options
@json_option
@quiet_option  # fmt: skip
def compare(variants: tuple[str, ...], output: str, **options: Any) -> None:
    """Report how datasets differ from the first one, the reference.

    Compares words and word pairs (n-grams), lengths, diversity and, with --prior, perplexities. A difference counts
    only above the noise floor: how far samples of one dataset differ. SOURCE is as in `hf-toedit edit`; RUN:gen2 is a
    generation of a run folder.

    REPORT is a folder with report.md, report.html and report.json. The same command continues an interrupted
    comparison, from the counts in REPORT/work.

    \b
    Examples:
      hf-toedit compare human=org/web synthetic=org/cosmopedia -o report
      hf-toedit compare human=web.jsonl edited=run:gen3 -o report --prior gpt2
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
        Repository(repo)  # checks the name before the work
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
