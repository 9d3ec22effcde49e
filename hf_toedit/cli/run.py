"""`hf-toedit run`: processes the unfinished shards of a planned run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.engines import engine, work_options
from hf_toedit.cli.help import SCALE, command, option
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    config_option,
    device_option,
    json_option,
    quiet_option,
    resource_options,
    score_result_option,
    trust_remote_code_option,
)
from hf_toedit.cli.push import push_along, push_to_options, report
from hf_toedit.errors import ToEditError
from hf_toedit.program import command_line

if TYPE_CHECKING:
    from rich.console import Console

    from hf_toedit.api.run import Run
    from hf_toedit.publish.outcome import Pushed
    from hf_toedit.publish.push_along import PushAlong
    from hf_toedit.runs.monitor import Failure
    from hf_toedit.runs.status import Status

WORK = "What to do"
_EXAMPLES = 3
_TEXTS_LOOKED_AT = 10_000
_EXAMPLE_PLACES = 3


@command(purpose=SCALE, short_help="Process the shards of a planned run.")
@click.argument("run", shell_complete=completion.folders)
@option("--shard-group", group=WORK, metavar="I/N",
        help="Group I (0 to N-1) of N groups of shards, one per machine.")  # fmt: skip
@option("--generations", group=WORK, type=int, metavar="G", help="Generation to continue to.  [default: as planned]")
@score_result_option
@work_options
@device_option
@resource_options
@trust_remote_code_option
@push_to_options
@config_option
@json_option
@quiet_option
def run(run: str, shard_group: str | None, **options: Any) -> None:
    """Process the unfinished shards of RUN, a folder written by `hf-toedit plan`.

    The same command continues an interrupted run. Several machines can share a run: give each its own --shard-group.

    \b
    Examples:
      hf-toedit run run --workers 4
      hf-toedit run run --shard-group $SLURM_ARRAY_TASK_ID/64
    """  # noqa: D301
    from hf_toedit.api.run import Run
    from hf_toedit.runs.work import shards_of_group, sweep, swept, waiting

    began = time.monotonic()
    opened = Run.open(run)
    opened.go_on(options["generations"], options["score_result"], options["trust_remote_code"])
    plan = opened.plan
    is_silent = options["quiet"] or options["as_json"]
    be_quiet = partial(quiet_libraries, show_progress=not is_silent, quiet=is_silent)
    indices = waiting(plan, opened.folder, shard_group)
    along = push_along(opened, options, set(shards_of_group(plan, shard_group)) - set(indices))
    opened.keep()
    failures: list[Failure] = []
    if indices:
        opened.folder.check()
        task = plan.task if options["device"] == "auto" else plan.task.on(options["device"])
        with swept(opened.folder), engine(task, options) as workers:
            be_quiet()  # which loads `datasets`, while a worker loads the model
            failures = opened.work(workers, indices, progress=not is_silent, on_done=along.add if along else None)
    else:
        be_quiet()
        sweep(opened.folder)  # the process that did the last shard may have been killed right after it
    finish(opened, failures, options, along, began if indices else None)


def finish(
    run: Run[Any], failures: list[Failure], options: Mapping[str, Any], along: PushAlong | None, began: float | None
) -> None:
    """Write the card of a finished run, report, and push the rest.

    Args:
        run: The run.
        failures: Shards that failed.
        options: Of the command.
        along: What pushes the run; None where it is not pushed.
        began: When the command began, by `time.monotonic`; None if no shard was left to do.

    Raises:
        RunError: shards failed, or the card did, or no text could be read, or they could not be pushed.
        HubError: the Hub does not answer, or refuses.
    """
    outcome = run.close(failures)
    if not (options["as_json"] or options["quiet"] or failures):
        done = "Nothing was left to do" if began is None else f"Done in {_duration(time.monotonic() - began)}"
        _report(run, outcome.status, options, done)
    if outcome.is_unread and along:
        along.sent()  # without their card, so that nobody takes them for a finished dataset
    pushed, push_error = (None, None) if outcome.is_unread else _finish_push(along, options)
    if options["as_json"]:
        push = {"push": pushed and asdict(pushed)} if along else {}
        click.echo(json.dumps({"run": str(run.path), **outcome.status.to_json(), **push}, indent=2))
    for error in (outcome.error, push_error):
        if error is not None:
            raise error


def report_run(run: Run[Any], options: Mapping[str, Any]) -> None:
    """Report on a finished run whose card is written."""
    if options["as_json"]:
        click.echo(json.dumps({"run": str(run.path), **run.status().to_json()}, indent=2))
    elif not options["quiet"]:
        _report(run, run.status(), options, "Done")


def _finish_push(along: PushAlong | None, options: Mapping[str, Any]) -> tuple[Pushed | None, ToEditError | None]:
    """Push the rest; an error is returned, so that the run is still reported."""
    if along is None:
        return None, None
    try:
        pushed = along.finish(options["unverified"])
    except ToEditError as error:
        return None, error
    if pushed and not (options["as_json"] or options["quiet"]):
        report(pushed, options["push_to"], options["public"], options["push_prefix"])
    return pushed, None


def _report(run: Run[Any], status: Status, options: Mapping[str, Any], done: str) -> None:
    from rich.text import Text

    from hf_toedit.cli.next_steps import after_run
    from hf_toedit.cli.output import console, counted, statistics_tables

    screen = console()
    if not status.is_finished:
        done_of = f"{status.num_done} of {status.num_shards}"
        screen.print(f"{done_of} shards are done. `{command_line('status')}` reports on all.")
        return
    first = status.statistics[0]
    screen.print(statistics_tables(status))
    if run.plan.task.kind == "edit":
        _show_edits(run, screen)
    if not first.num_documents:
        source = run.plan.source
        where, option = "", "the column names"
        if source.messages_column:
            where, option = f" in messages of {', '.join(source.roles)}", "--roles"
        screen.print(Text(f"\nNo row holds a text{where}. Check {option}."))
    if skipped := first.num_skipped:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(skipped.items()))
        screen.print(f"\nTexts not read and unchanged: {sum(skipped.values())} ({causes})")
    screen.print()
    passes = f" in {counted(len(status.passes), 'generation')}" if run.plan.task.kind == "edit" else ""
    screen.print(f"{done}: {counted(first.num_rows, 'row')} {run.plan.task.done}{passes}.")
    screen.print(Text(f"Run folder: {run.path}"))
    screen.print(Text(after_run(run, is_pushed=bool(options.get("push_to")))))


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _show_edits(run: Run[Any], screen: Console) -> None:
    """The first texts that changed."""
    from hf_toedit.cli.output import diff_line, first_changed

    for table in first_changed(islice(run.texts(), _TEXTS_LOOKED_AT), _EXAMPLES):
        screen.print()
        screen.print(diff_line(table, _EXAMPLE_PLACES, screen.color_system is not None))
