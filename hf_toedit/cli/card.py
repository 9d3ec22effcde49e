"""`hf-toedit card`: the dataset card of a finished run, written anew."""

from __future__ import annotations

import json

import click

from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import json_option, quiet_option


@click.command(short_help="Write the dataset card of a finished run.")
@click.argument("run")
@json_option
@quiet_option
def card(run: str, as_json: bool, quiet: bool) -> None:
    """Write README.md and its pictures into RUN, a finished run folder, as `edit` and `run` do in the end.

    What people wrote in README.md stays: everything outside of the lines <!-- hf-toedit:begin --> and
    <!-- hf-toedit:end -->, and every key of its metadata that they set.
    """
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    from hf_toedit.api.run import Run

    opened = Run.open(run)
    files = opened.card()
    if as_json:
        click.echo(json.dumps({"run": str(opened.path), "files": list(map(str, files))}, indent=2))
    elif not quiet:
        for file in files:
            click.echo(file)
