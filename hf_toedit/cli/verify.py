"""`hf-toedit verify`: everything that a run wrote, read again."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from hf_toedit.cli.options import json_option, quiet_libraries, quiet_option
from hf_toedit.errors import RunError

_SHOWN = 20


@click.command(short_help="Read everything in a run again, and check it.")
@click.argument("run")
@click.option("--no-source", is_flag=True, help="Do not read the source again, where it cannot be reached any more.")
@json_option
@quiet_option
def verify(run: str, no_source: bool, as_json: bool, quiet: bool) -> None:
    """Read everything in RUN again and hold it against its plan, its source and its statistics.

    Number, order and columns of the rows, every edit log back to the source text, and the statistics counted anew from
    the rows.
    """
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    from hf_toedit.cli.output import counted, printable, shard_progress
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.verify import verify_run

    folder = RunFolder(run)
    plan = folder.plan()
    with shard_progress(len(plan.shards), quiet or as_json) as progress:
        found = verify_run(plan, folder, with_source=not no_source, progress=progress)
    if as_json:
        click.echo(json.dumps({"run": str(folder.root), "ok": not found.problems, **asdict(found)}, indent=2))
    elif not found.problems and not quiet:
        held = "one another" if no_source else "their source rows"
        click.echo(f"Sound: {counted(found.num_rows, 'row')} in {counted(found.num_shards, 'file')} agree with {held}, "
                   f"the plan and the statistics.")  # fmt: skip
    if found.problems:
        if not as_json:
            for problem in found.problems[:_SHOWN]:
                click.echo(printable(problem))
        raise RunError(
            f"{len(found.problems)} problems in {folder.root}. `hf-toedit run {folder.root}` makes anew what is not "
            f"done, or was deleted."
        )
