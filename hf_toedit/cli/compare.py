"""`hf-toedit compare`: how datasets differ from the first of them."""

from __future__ import annotations

import json
from typing import Any

import click

from hf_toedit.cli.engines import workers_of, workers_option
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import json_option, messages_column_option, quiet_option, roles_option, text_column_option


@click.command(short_help="Say how datasets differ.")
@click.argument("variants", nargs=-1, required=True, metavar="NAME=SOURCE...")
@click.option("-o", "--output", required=True, metavar="REPORT", help="The folder of the report to write.")
@click.option(
    "--prior",
    "priors",
    multiple=True,
    metavar="NAME",
    help="A prior that reads all texts, so that perplexities are compared as well. May be repeated.",
)
@click.option(
    "--epsilon",
    type=float,
    metavar="BITS",
    help="KL divergence up to which data are semi-synthetic.  [default: twice the noise floor]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of random choices.")
@click.option("--split", metavar="NAME", help="One split of each source.  [default: every split]")
@click.option("--limit", type=int, metavar="N", help="At most this many rows of each split, from the first.")
@text_column_option
@messages_column_option
@roles_option
@workers_option
@json_option
@quiet_option  # fmt: skip
def compare(variants: tuple[str, ...], output: str, **options: Any) -> None:
    """Say how datasets differ from the first of them: by n-grams, lengths and variety, and by priors' perplexities.

    A difference is held against the noise floor: how far two samples of the first dataset differ. REPORT holds
    report.md, report.json and pictures; what was interrupted goes on when the same command is given again.

    \b
    Examples:
      hf-toedit compare human=org/web synthetic=org/cosmopedia -o report
      hf-toedit compare human=stories.jsonl edited=run:gen3 -o report --prior org/model
    """  # noqa: D301
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    from hf_toedit.api.compare import compare as compare_datasets
    from hf_toedit.api.compare import parsed_variants

    workers = workers_of(options)
    names = ("split", "limit", "text_column", "messages_column", "roles")
    report = compare_datasets(
        parsed_variants(variants),
        output,
        priors=options["priors"],
        epsilon=options["epsilon"],
        seed=options["seed"],
        workers=workers,
        progress=not is_silent,
        **{name: options[name] for name in names if options[name] not in (None, ())},
    )
    if options["as_json"]:
        click.echo(json.dumps(report, indent=2))
    elif not options["quiet"]:
        for name, found in report["comparisons"].items():
            click.echo(f"{name} against {report['reference']}: {found['verdict']}, since {found['reason']}")
        click.echo(f"Report: {output}/report.md")
