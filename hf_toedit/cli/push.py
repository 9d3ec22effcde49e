"""`hf-toedit push`: pushes a finished run; and the options to push during a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import HUB, command, option
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.next_steps import load_line, next_steps
from hf_toedit.cli.options import Command, json_option, quiet_option, together
from hf_toedit.errors import UsageError, kept

if TYPE_CHECKING:
    from hf_toedit.api.run import Run
    from hf_toedit.publish.outcome import Outlook, Pushed
    from hf_toedit.publish.push_along import PushAlong

_PUBLIC = "Create the repository as public."
_REVISION = "Branch to push to; created if missing."
_PREFIX = "Folder of the dataset to push to."
_UNVERIFIED = "Push without verifying the run."
_DELETED_SHOWN = 20


def _beside_push_to(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Refuse an option of a push without --push-to."""
    if value and ctx.params.get("push_to") is None:
        raise UsageError(f"{option.opts[0]} requires --push-to.")
    return value


def push_to_options(command: Command) -> Command:
    """Push during the run."""
    return together(
        option("--push-to", group=HUB, metavar="ORG/NAME", is_eager=True,
               help="Hub dataset to push finished shards and card to."),
        option("--push-revision", group=HUB, rare=True, metavar="BRANCH", callback=_beside_push_to, help=_REVISION),
        option("--push-prefix", group=HUB, rare=True, metavar="PATH", default="", callback=_beside_push_to,
               help=_PREFIX),
        option("--public", group=HUB, is_flag=True, callback=_beside_push_to, help=_PUBLIC),
        option("--unverified", group=HUB, rare=True, is_flag=True, callback=_beside_push_to, help=_UNVERIFIED),
    )(command)  # fmt: skip


def report_push_option(command: Command) -> Command:
    """Push the report."""
    add = "Hub dataset to add the report to; its card links it. A new dataset is private."
    return option("--push-to", group=HUB, metavar="ORG/NAME", help=add)(command)


@command(purpose=HUB, short_help="Push a finished run to the Hub.")
@click.argument("run", shell_complete=completion.folders)
@click.argument("repo", metavar="ORG/NAME")
@option("--public", group=HUB, is_flag=True, help=_PUBLIC)
@option("--revision", group=HUB, metavar="BRANCH", help=_REVISION)
@option("--create-pr", group=HUB, is_flag=True, help="Open a pull request, or continue that of the same run.")
@option("--prefix", group=HUB, metavar="PATH", default="", help=_PREFIX)
@option("--dry-run", group=HUB, is_flag=True, help="Write nothing; report what would be created, sent and deleted.")
@option("--unverified", group=HUB, is_flag=True, help=_UNVERIFIED)
@option("--replace", group=HUB, is_flag=True,
        help="Delete files of other runs and tools; hand-written parts of README.md are kept.")  # fmt: skip
@json_option
@quiet_option
def push(run: str, repo: str, **options: Any) -> None:
    """Push RUN, a finished run folder, to the Hub dataset ORG/NAME. A new dataset is private.

    The same command continues an interrupted push; files that are already on the Hub are not sent again. The card comes
    with the last commit; until then `load_dataset` refuses to load the dataset.

    \b
    Examples:
      hf-toedit push run org/stories-toedit --dry-run
      hf-toedit push run org/stories-toedit --public
    """  # noqa: D301
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    quiet_hub()
    from hf_toedit.api.run import Run

    opened = Run.open(run)
    how = {name: options[name] for name in ("revision", "prefix", "public", "create_pr", "replace", "unverified")}
    done: Outlook | Pushed
    if options["dry_run"]:
        done = opened.outlook(repo, progress=not is_silent, **how)
    else:
        done = opened.push(repo, progress=not is_silent, **how)
    if options["as_json"]:
        click.echo(json.dumps({"run": str(opened.path), "repo": repo, **asdict(done)}, indent=2))
    elif not options["quiet"]:
        report(done, repo, options["public"], options["prefix"])


def report(done: Outlook | Pushed, repo: str, public: bool, prefix: str) -> None:
    """Print what a push did, or would do."""
    from rich.filesize import decimal

    from hf_toedit.cli.output import counted, printable
    from hf_toedit.publish.outcome import Outlook

    files = f"{counted(done.num_files_sent, 'file')} ({decimal(done.num_bytes_sent)})"
    if public and done.private:
        click.echo(f"{repo} exists and is private; --public does not change that. Use its settings on the Hub.")
    if isinstance(done, Outlook):
        for what in done.creates:
            click.echo(f"Would create: {what}" + (" (private)" if what == "repository" and done.private else ""))
        for path in done.deleted[:_DELETED_SHOWN]:
            click.echo(f"Would delete: {printable(path)}")
        if len(done.deleted) > _DELETED_SHOWN:
            click.echo(f"Would delete: {len(done.deleted) - _DELETED_SHOWN} more")
        click.echo(f"Would send: {files}; {done.num_files_skipped:,} are already on the Hub.")
    else:
        click.echo(f"Sent {files}; {done.num_files_skipped:,} were already on the Hub. {done.pull_request or done.url}")
        if not prefix and not done.pull_request:
            click.echo(next_steps(load=load_line(repo, done.revision)))


def push_along(run: Run, options: Mapping[str, Any], done: Iterable[int]) -> PushAlong | None:
    """A thread that pushes shards as they finish; None without --push-to.

    Args:
        run: The run of the shards.
        options: The options of the command.
        done: Indices of finished shards, which are pushed first.

    Raises:
        RunError, HubError: The run cannot be pushed.
    """
    if options["push_to"] is None:
        return None
    quiet_hub()
    from hf_toedit.publish.push import Push
    from hf_toedit.publish.push_along import PushAlong

    sending = Push(
        run.plan,
        run.folder,
        options["push_to"],
        revision=options["push_revision"],
        prefix=options["push_prefix"],
        public=options["public"],
    )
    with kept():
        sending.check()
        sending.begin()
    along = PushAlong(sending, run.plan, run.folder)
    for index in done:
        along.add(run.plan.shards[index].name)
    return along
