"""`hf-toedit verify`: checks all files of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import EDIT, SOURCE, command, option
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.next_steps import next_steps
from hf_toedit.cli.options import json_option, quiet_option
from hf_toedit.cli.pull import hub_options
from hf_toedit.errors import RunError, UsageError
from hf_toedit.program import command_line

_SHOWN = 20


@command(purpose=EDIT, short_help="Check all files of a run against its plan and source.")
@click.argument("run", shell_complete=completion.folders)
@option("--no-source", group=SOURCE, is_flag=True, help="Check without the source, if it is not available any more.")
@hub_options
@json_option
@quiet_option
def verify(run: str, no_source: bool, revision: str | None, prefix: str, as_json: bool, quiet: bool) -> None:
    """Check all files of RUN against its plan, its source and its statistics.

    Checks the number, order and columns of the rows, reverts each edit log to the source text, and counts the
    statistics again. RUN is a run folder, or a Hub dataset (org/name) that a run was pushed to, which is downloaded
    shard by shard.

    \b
    Examples:
      hf-toedit verify run
      hf-toedit verify org/stories-toedit
    """  # noqa: D301
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    quiet_hub()
    from hf_toedit.api.run import Run
    from hf_toedit.cli.output import counted, printable
    from hf_toedit.sources.resolve import hub_dataset

    how: dict[str, Any] = {"with_source": not no_source, "progress": not (quiet or as_json)}
    repo_id = hub_dataset(run)
    if repo_id is None:
        if revision or prefix:
            raise UsageError(f"{run!r} is not a Hub dataset. Leave --revision and --prefix out.")
        found = Run.open(run).verify(**how)
    else:
        from hf_toedit.publish.pull import HubRun

        on_hub = HubRun(repo_id, revision, prefix)
        with on_hub.records() as (plan, folder):
            found = Run(folder, plan).verify(read=on_hub.verify, **how)
    if as_json:
        click.echo(json.dumps({"run": run, "ok": not found.problems, **asdict(found)}, indent=2))
    elif not found.problems and not quiet:
        held = "one another" if no_source else "their source rows"
        click.echo(f"Sound: {counted(found.num_rows, 'row')} in {counted(found.num_shards, 'file')} agree with {held}, "
                   f"the plan and the statistics.")  # fmt: skip
        if repo_id is None:
            click.echo(next_steps(push=command_line("push", run, "org/name")))
    if found.problems:
        if not as_json:
            for problem in found.problems[:_SHOWN]:
                click.echo(printable(problem))
        advice = f"`{command_line('run', run)}` repeats what is unfinished or was deleted."
        if repo_id is not None:
            advice = "Verify the run folder that it was pushed from, and push it again."
        raise RunError(f"{counted(len(found.problems), 'problem')} in {run}. {advice}")
