"""`hf-toedit pull`: a run on the Hub becomes a run folder here."""

from __future__ import annotations

import json

import click

from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.options import json_option, quiet_option, together
from hf_toedit.errors import kept

hub_options = together(
    click.option("--revision", metavar="REV", help="Branch, tag or commit of the Hub dataset."),
    click.option("--prefix", default="", metavar="PATH", help="Folder of the Hub dataset that holds the run."),
)


@click.command(short_help="Bring a run back from the Hub.")
@click.argument("repo", metavar="ORG/NAME")
@click.option("-o", "--output", required=True, metavar="RUN", help="New folder for the run.")
@hub_options
@json_option
@quiet_option
def pull(repo: str, output: str, revision: str | None, prefix: str, as_json: bool, quiet: bool) -> None:
    """Bring a run that was pushed to the Hub dataset ORG/NAME into the run folder RUN.

    It is a run folder as any other: `hf-toedit run RUN --generations G` goes on to further generations. A pull that
    was broken off goes on when the same command is given again.
    """
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
            click.echo(f"{status.num_done} of {status.num_shards} shards are done. Next: hf-toedit run {folder.root}")
