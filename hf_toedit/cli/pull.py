"""`hf-toedit pull`: downloads a run from the Hub."""

from __future__ import annotations

import json

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import HUB, OUTPUT, command, option
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.options import json_option, quiet_option, together
from hf_toedit.errors import kept
from hf_toedit.program import command_line

hub_options = together(
    option("--revision", group=HUB, metavar="REV", help="Branch, tag or commit of the Hub dataset."),
    option("--prefix", group=HUB, default="", metavar="PATH", help="Folder of the Hub dataset that has the run."),
)


@command(purpose=HUB, short_help="Download a run from the Hub.")
@click.argument("repo", metavar="ORG/NAME")
@option("-o", "--output", group=OUTPUT, required=True, metavar="RUN", shell_complete=completion.folders,
        help="New run folder.")  # fmt: skip
@hub_options
@json_option
@quiet_option
def pull(repo: str, output: str, revision: str | None, prefix: str, as_json: bool, quiet: bool) -> None:
    """Download the run in the Hub dataset ORG/NAME into the run folder RUN.

    `hf-toedit run RUN --generations G` then adds generations to it. The same command continues an interrupted pull.

    \b
    Examples:
      hf-toedit pull org/stories-toedit -o run
    """  # noqa: D301
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    quiet_hub()
    from hf_toedit.cli.output import counted
    from hf_toedit.progress import counted_progress
    from hf_toedit.publish.pull import HubRun
    from hf_toedit.runs.status import run_status
    from hf_toedit.runs.store import RunFolder

    run, folder = HubRun(repo, revision, prefix), RunFolder(output)
    with counted_progress("files", len(run.files), quiet or as_json) as progress, kept():
        plan = run.pull(folder, progress)
    status = run_status(plan, folder)
    if as_json:
        report = {"run": str(folder.root), "repo": repo, "commit": run.sha, "num_files": len(run.files)}
        click.echo(json.dumps({**report, "finished": status.is_finished}, indent=2))
    elif not quiet:
        click.echo(f"Pulled {counted(len(run.files), 'file')} of {repo} at {run.sha}. Run folder: {folder.root}")
        if not status.is_finished:
            next_ = command_line("run", folder.root)
            click.echo(f"{status.num_done} of {status.num_shards} shards are done. Next: {next_}")
