"""`hf-toedit reproduce`: reproduces tables, figures and theorems of both papers."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.engines import interruptible
from hf_toedit.cli.help import JUDGE, OUTPUT, command, option
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import json_option, quiet_option
from hf_toedit.errors import UsageError
from hf_toedit.program import program

_HOW = "How to reproduce"


def _names() -> list[str]:
    from hf_toedit.papers.registry import items

    return [item.name for item in items()]


@command(purpose=JUDGE, short_help="Reproduce a table, figure or theorem of the papers.")
@click.argument("name", required=False, shell_complete=completion.names(_names))
@option("--scale", group=_HOW, type=click.Choice(["tiny", "paper"]), default="tiny", show_default=True,
        help="Size: minutes on two cores, or the paper's settings.")  # fmt: skip
@option("--seed", group=_HOW, type=int, default=0, show_default=True, metavar="N", help="Random seed.")
@option("-o", "--output", group=OUTPUT, metavar="REPORT", shell_complete=completion.folders,
        help="Report folder to write.")  # fmt: skip
@option("--dry-run", group=OUTPUT, is_flag=True, help="Print the settings only.")
@json_option
@quiet_option
def reproduce(name: str | None, output: str | None, scale: Any, seed: int, dry_run: bool, **options: Any) -> None:
    """Reproduce NAME, a table, figure or theorem of one of the two papers. Without NAME, list them all.

    The report shows our numbers beside the paper's, a plot in the same form, and whether the claim holds here: yes, no
    or undecided.

    \b
    Examples:
      hf-toedit reproduce
      hf-toedit reproduce "Theorem 1" -o theorem-1
      hf-toedit reproduce "reinforcement:Figure 2" --scale paper --dry-run
    """  # noqa: D301
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    from hf_toedit.analysis.report import MARKDOWN
    from hf_toedit.papers.reproduce import outlook, reproducible
    from hf_toedit.papers.reproduce import reproduce as measure_again

    if name is None:
        _list(reproducible(), options)
    elif dry_run:
        _print_outlook(outlook(name, scale), options)
    elif output is None:
        raise UsageError("no output folder. Name one with -o.")
    else:
        with interruptible():
            report = measure_again(name, output, scale=scale, seed=seed, progress=not is_silent)
        if options["as_json"]:
            click.echo(json.dumps(report, indent=2))
        elif not options["quiet"]:
            click.echo(f"{report['name']}: {report['claim']}")
            click.echo(f"Holds here: {report['holds']}, since {report['reason']}")
            click.echo(f"Report: {Path(output) / MARKDOWN}")


def _list(found: list[dict[str, Any]], options: dict[str, Any]) -> None:
    if options["as_json"]:
        click.echo(json.dumps(found, indent=2))
    elif not options["quiet"]:
        for paper, entries in groupby(found, key=lambda entry: (entry["title"], entry["arxiv"])):
            click.echo("{} (arXiv {})\n".format(*paper))
            for entry in entries:
                needs = f", needs {entry['needs']}" if entry["needs"] else ""
                renamed = f"; {entry['renamed']}" if entry["renamed"] else ""
                line = f"{entry['name']} ({entry['minutes']:g} min{needs}{renamed}): {entry['claim']}"
                click.echo(click.wrap_text(line, initial_indent="  ", subsequent_indent="    "))
            click.echo()
        click.echo(f'Reproduce one: {program()} reproduce "Theorem 1" -o theorem-1')


def _print_outlook(found: dict[str, Any], options: dict[str, Any]) -> None:
    if options["as_json"]:
        click.echo(json.dumps(found, indent=2))
    elif not options["quiet"]:
        click.echo(f"{found['name']}: {found['claim']}")
        for setting, value in found["settings"].items():
            click.echo(f"  {setting}: {value}")
        click.echo(f"Needs: {found['needs'] or 'nothing beside the package'}.")
        if found["minutes"] is not None:
            click.echo(f"Takes about {found['minutes']:g} minutes on two cores.")
