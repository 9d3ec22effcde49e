"""`hf-toedit push`: a finished run goes to the Hub; and the options with which a run pushes while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.options import Command, json_option, quiet_option, together
from hf_toedit.errors import RunError, UsageError, kept

if TYPE_CHECKING:
    from hf_toedit.publish.outcome import Outlook, Pushed
    from hf_toedit.publish.push_along import PushAlong
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder

_PUBLIC = "Let everybody read the repository, if it is made now."
_REVISION = "Push to this branch; it is made if it is not there."
_PREFIX = "Push into this folder of the dataset."
_UNVERIFIED = "Push although the run was not verified."
_DELETED_SHOWN = 20


def _beside_push_to(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Refuse an option that says how to push where nothing is pushed."""
    if value and ctx.params.get("push_to") is None:
        raise UsageError(f"{option.opts[0]} says how to push. Say --push-to as well.")
    return value


def push_to_options(command: Command) -> Command:
    """Of a command that pushes what it makes."""
    return together(
        click.option("--push-to", metavar="ORG/NAME", is_eager=True, help="Push shards to this Hub dataset as they "
                     "finish, and in the end verify the run and push its card."),
        click.option("--push-revision", metavar="BRANCH", callback=_beside_push_to, help=_REVISION),
        click.option("--push-prefix", metavar="PATH", default="", callback=_beside_push_to, help=_PREFIX),
        click.option("--public", is_flag=True, callback=_beside_push_to, help=_PUBLIC),
        click.option("--unverified", is_flag=True, callback=_beside_push_to, help=_UNVERIFIED),
    )(command)  # fmt: skip


@click.command(short_help="Push a finished run to the Hub.")
@click.argument("run")
@click.argument("repo", metavar="ORG/NAME")
@click.option("--public", is_flag=True, help=_PUBLIC)
@click.option("--revision", metavar="BRANCH", help=_REVISION)
@click.option("--create-pr", is_flag=True, help="Open a pull request, or go on with that of the same run.")
@click.option("--prefix", metavar="PATH", default="", help=_PREFIX)
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be made, sent and deleted.")
@click.option("--unverified", is_flag=True, help=_UNVERIFIED)
@click.option("--replace", is_flag=True, help="Delete what another run or tool left there; the hand-written parts of "
              "README.md stay.")  # fmt: skip
@json_option
@quiet_option
def push(run: str, repo: str, **options: Any) -> None:
    """Push RUN, a finished run folder, to the Hub dataset ORG/NAME, which is made private if it is not there.

    May be stopped at any moment, by any means, and started again: what is there already is not sent again. Until the
    last commit, which brings the card, `load_dataset` refuses to load what is there.

    \b
    Examples:
      hf-toedit push run org/stories-toedit --dry-run
      hf-toedit push run org/stories-toedit --public
    """  # noqa: D301
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    quiet_hub()
    from hf_toedit.cli.output import push_progress
    from hf_toedit.publish.push import Push
    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(run)
    plan = folder.plan()
    if not isinstance(folder.root, Path):
        folder.sweep()  # what a push that was stopped has brought here
    _check_finished(plan, folder, options["unverified"])
    with push_progress(is_silent) as progress:
        sending = Push(
            plan,
            folder,
            repo,
            revision=options["revision"],
            prefix=options["prefix"],
            public=options["public"],
            create_pr=options["create_pr"],
            overwrite=options["replace"],
            progress=progress,
        )
        done: Outlook | Pushed
        if options["dry_run"]:
            done = sending.outlook()
        else:
            with kept():
                sending.check()
                done = sending()
    if options["as_json"]:
        click.echo(json.dumps({"run": str(folder.root), "repo": repo, **asdict(done)}, indent=2))
    elif not options["quiet"]:
        report(done, repo, options["public"])


def _check_finished(plan: Plan, folder: RunFolder, unverified: bool) -> None:
    """Refuse a run that is not finished, or not known to be sound.

    Raises:
        RunError: it is not.
    """
    from hf_toedit.runs.verify import is_verified

    missing = len(folder.unfinished(plan, plan.shards))
    if missing:
        raise RunError(
            f"{missing} of {len(plan.shards)} shards of {folder.root} are missing. Finish the run, then push it: "
            f"hf-toedit run {folder.root}"
        )
    if not (unverified or is_verified(plan, folder)):
        raise RunError(
            f"{folder.root} was not verified, or was changed since. Verify it, then push it: hf-toedit verify "
            f"{folder.root}. Or say --unverified."
        )


def report(done: Outlook | Pushed, repo: str, public: bool) -> None:
    """Say what a push did, or would do."""
    from rich.filesize import decimal

    from hf_toedit.cli.output import counted, printable
    from hf_toedit.publish.outcome import Outlook

    files = f"{counted(done.num_files_sent, 'file')} ({decimal(done.num_bytes_sent)})"
    if public and done.private:
        click.echo(f"{repo} is there already, and private; --public leaves it so. Its settings on the Hub change that.")
    if isinstance(done, Outlook):
        for what in done.creates:
            click.echo(f"Would make: {what}" + (" (private)" if what == "repository" and done.private else ""))
        for path in done.deleted[:_DELETED_SHOWN]:
            click.echo(f"Would delete: {printable(path)}")
        if len(done.deleted) > _DELETED_SHOWN:
            click.echo(f"Would delete: {len(done.deleted) - _DELETED_SHOWN} more")
        click.echo(f"Would send: {files}; {done.num_files_skipped:,} are there already.")
    else:
        click.echo(f"Sent {files}; {done.num_files_skipped:,} were there already. {done.pull_request or done.url}")


def push_along(plan: Plan, folder: RunFolder, options: Mapping[str, Any]) -> PushAlong | None:
    """What pushes shards as they finish; None where that was not asked for.

    Raises:
        RunError, HubError: the run may not be pushed there.
    """
    if options["push_to"] is None:
        return None
    quiet_hub()
    from hf_toedit.publish.push import Push
    from hf_toedit.publish.push_along import PushAlong

    sending = Push(
        plan,
        folder,
        options["push_to"],
        revision=options["push_revision"],
        prefix=options["push_prefix"],
        public=options["public"],
    )
    with kept():
        sending.check()
        sending.begin()
    return PushAlong(sending, plan, folder)
