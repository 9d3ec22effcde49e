"""`hf-toedit card`: writes the dataset card of a finished run."""

from __future__ import annotations

import json

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import HUB, command
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import json_option, quiet_option


@command(purpose=HUB, short_help="Write the dataset card of a finished run.")
@click.argument("run", shell_complete=completion.folders)
@json_option
@quiet_option
def card(run: str, as_json: bool, quiet: bool) -> None:
    """Write README.md and its pictures into RUN, a finished run folder, as `edit` and `run` do at the end.

    Hand-written parts of README.md are kept: the text outside of the markers hf-toedit:begin and hf-toedit:end, and
    each metadata key that was set by hand.

    \b
    Examples:
      hf-toedit card run
    """  # noqa: D301
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    from hf_toedit.api.run import Run

    opened = Run.open(run)
    files = opened.card()
    if as_json:
        click.echo(json.dumps({"run": str(opened.path), "files": list(map(str, files))}, indent=2))
    elif not quiet:
        for file in files:
            click.echo(file)
