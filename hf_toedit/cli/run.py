"""`hf-toedit run`: the shards of a planned run are edited, here, as far as they are not done."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.engines import engine, work_options
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
from hf_toedit.errors import RunError, ToEditError, UsageError

if TYPE_CHECKING:
    from hf_toedit.editing.piece_table import PieceTable
    from hf_toedit.engines.base import Engine
    from hf_toedit.publish.outcome import Pushed
    from hf_toedit.publish.push_along import PushAlong
    from hf_toedit.runs.monitor import Failure
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.status import Status
    from hf_toedit.runs.store import RunFolder

_EXAMPLES = 3
_TEXTS_LOOKED_AT = 10_000
_EXAMPLE_PLACES = 3


@click.command(short_help="Edit the shards of a planned run.")
@click.argument("run")
@click.option(
    "--shard-group", metavar="I/N", help="Only every Nth shard, from the Ith (0 to N-1): a share of the work."
)
@click.option("--generations", type=int, metavar="G", help="Go on to generation G.  [default: as planned]")
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
    """Edit the shards of RUN, a folder made by `hf-toedit plan`; those that are done already are passed over.

    May be stopped at any moment, by any means, and started again. Several machines may share a run, each with a
    --shard-group of its own.

    \b
    Examples:
      hf-toedit run run --workers 4
      hf-toedit run run --shard-group $SLURM_ARRAY_TASK_ID/64
    """  # noqa: D301
    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(run)
    planned = folder.plan()
    plan = _further(planned, options)
    check_trust(plan, options["trust_remote_code"])
    is_silent = options["quiet"] or options["as_json"]
    be_quiet = partial(quiet_libraries, show_progress=not is_silent, quiet=is_silent)
    indices = waiting(plan, folder, shard_group)
    along = push_along(plan, folder, options)
    if plan != planned:
        folder.replan(plan)
    if along:
        for index in set(shards_of_group(plan, shard_group)) - set(indices):
            along.add(plan.shards[index].name)
    failures: list[Failure] = []
    if indices:
        folder.check()
        prior = plan.prior if options["device"] == "auto" else replace(plan.prior, device=options["device"])
        with swept(folder), engine(prior, plan.edit, options) as workers:
            be_quiet()  # which loads `datasets`, while a worker loads the prior
            failures = work(plan, folder, workers, indices, is_silent, along)
    else:
        be_quiet()
    finish(plan, folder, failures, options, along)


def check_trust(plan: Plan, trust_remote_code: bool) -> None:
    """Refuse to run the code that a plan names unasked: of its prior, or a selection rule or sampler.

    Raises:
        UsageError: it names some, and nobody here said that it may run.
    """
    if plan.edit.own and not trust_remote_code:
        names = ", ".join(f"{setting} {name!r}" for setting, name in plan.edit.own.items())
        raise UsageError(
            f"the plan names Python code ({names}). A plan may come from anyone: if you trust that code, use "
            f"--trust-remote-code."
        )
    if plan.prior.trust_remote_code and not trust_remote_code:
        raise UsageError(
            f"the plan's prior {plan.prior.prior!r} brings its own Python code. A plan may come from anyone: if you "
            f"trust that code, say --trust-remote-code here as well."
        )


def _further(plan: Plan, options: Mapping[str, Any]) -> Plan:
    """The plan, with the further passes that are asked for.

    Raises:
        UsageError: it has more generations already.
    """
    generations = plan.run.generations if options["generations"] is None else options["generations"]
    if generations < plan.run.generations:
        raise UsageError(f"the run has {plan.run.generations} generations already; --generations adds to them.")
    score_result = options["score_result"] or plan.run.score_result
    return replace(plan, run=replace(plan.run, generations=generations, score_result=score_result))


@contextmanager
def swept(folder: RunFolder) -> Iterator[None]:
    """No temporary files of dead processes before, and none of the engine's after it."""
    folder.sweep()
    try:
        yield
    finally:
        folder.sweep()


def work(
    plan: Plan, folder: RunFolder, workers: Engine, indices: list[int], is_silent: bool, along: PushAlong | None
) -> list[Failure]:
    """Edit shards, with progress on the screen and in the run folder.

    Args:
        plan: of the run.
        folder: of the run.
        workers: edit them.
        indices: of the shards.
        is_silent: show nothing.
        along: pushes those that are done.

    Returns:
        Those that failed at every try; the others are done.
    """
    from hf_toedit.cli.output import EditProgress
    from hf_toedit.runs.monitor import Monitor

    rows = [plan.shards[index].num_rows for index in indices]
    num_rows = None if None in rows else sum(count or 0 for count in rows) * plan.num_passes
    on_done = along.add if along else None
    with EditProgress(num_rows, is_silent) as progress, Monitor(plan, folder, progress, on_done) as monitor:
        workers.run(plan, folder, indices, monitor)
    return monitor.failures


def finish(
    plan: Plan, folder: RunFolder, failures: list[Failure], options: Mapping[str, Any], along: PushAlong | None
) -> None:
    """Write the card where the run is finished, report, and push what is left.

    Raises:
        RunError: shards failed, or the card did, or no text could be read, or they could not be pushed.
        HubError: the Hub does not answer, or refuses.
    """
    from hf_toedit.runs.status import run_status

    status = run_status(plan, folder)
    card_error = _write_card(plan, folder) if status.is_finished else None
    if not (options["as_json"] or options["quiet"] or failures):
        _report(folder, plan, status)
    unread = _unread(status)
    if unread and along:
        along.sent()  # without their card, so that nobody takes them for an edited dataset
    pushed, push_error = (None, None) if unread else _finish_push(along, options)
    if options["as_json"]:
        push = {"push": pushed and asdict(pushed)} if along else {}
        click.echo(json.dumps({"run": str(folder.root), **status.to_json(), **push}, indent=2))
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise RunError(
            f"{len(failures)} of {len(plan.shards)} shards failed. {failures[0].shard}: {failures[0].reason}{more} "
            f"The others are kept. Mend the cause, then: hf-toedit run {folder.root}"
        )
    if card_error is not None:
        raise RunError(
            f"the rows are all there, but their card could not be written: {card_error} "
            f"Then: hf-toedit card {folder.root}"
        ) from card_error
    if unread is not None:
        raise unread
    if push_error is not None:
        raise push_error


def _unread(status: Status) -> RunError | None:
    """The error of a finished run of which no text could be read."""
    from hf_toedit.runs.monitor import check_read

    try:
        if status.is_finished:
            check_read(status.generations[0])
    except RunError as error:
        return error
    return None


def _finish_push(along: PushAlong | None, options: Mapping[str, Any]) -> tuple[Pushed | None, ToEditError | None]:
    """Push what is left; what went wrong, which is no reason to lose the report on the data."""
    if along is None:
        return None, None
    try:
        pushed = along.finish(options["unverified"])
    except ToEditError as error:
        return None, error
    if pushed and not (options["as_json"] or options["quiet"]):
        report(pushed, options["push_to"], options["public"])
    return pushed, None


def _write_card(plan: Plan, folder: RunFolder) -> Exception | None:
    """Write the card; what went wrong, which is no reason to lose the report on the data."""
    from hf_toedit.cards.card import write_card

    try:
        write_card(plan, folder)
    except Exception as error:
        return error if isinstance(error, ToEditError) else RunError(f"{type(error).__name__}: {error}.")
    return None


def _report(folder: RunFolder, plan: Plan, status: Status) -> None:
    from rich.text import Text

    from hf_toedit.cli.output import console, diff_line, first_changed, generations_table

    screen = console()
    if not status.is_finished:
        screen.print(f"{status.num_done} of {status.num_shards} shards are done. `hf-toedit status` tells of all.")
        return
    screen.print(generations_table(status.generations))
    for table in first_changed(islice(_written(folder, plan), _TEXTS_LOOKED_AT), _EXAMPLES):
        screen.print()
        screen.print(diff_line(table, _EXAMPLE_PLACES, screen.color_system is not None))
    if not status.generations[0].num_documents:
        roles = f" in messages of the roles {', '.join(plan.source.roles)}" if plan.source.messages_column else ""
        screen.print(Text(f"\nNo row holds a text to edit{roles}. Check what was named."))
    skipped = status.generations[0].num_skipped
    if skipped:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(skipped.items()))
        screen.print(f"\nTexts passed through unread: {sum(skipped.values())} ({causes})")
    screen.print()
    screen.print(Text(f"Run folder: {folder.root}"))


def _written(folder: RunFolder, plan: Plan) -> Iterator[PieceTable | None]:
    """The texts of the last generation, with their edits."""
    from hf_toedit.rows.rows import piece_tables
    from hf_toedit.rows.texts import Texts

    if plan.run.edit_log_column is None:
        return
    texts = Texts(plan.source)
    columns = [*texts.columns(plan.reading.features), plan.run.edit_log_column]
    for shard in plan.shards:
        for table in folder.tables(plan, plan.generations[-1], shard, columns):
            yield from piece_tables(table, texts, plan.run.edit_log_column)


def waiting(plan: Plan, folder: RunFolder, shard_group: str | None = None) -> list[int]:
    """The shards of a group, or of all, that are not done in every generation.

    Raises:
        UsageError: there is no such group.
    """
    group = shards_of_group(plan, shard_group)
    names = {shard.name for shard in folder.unfinished(plan, [plan.shards[index] for index in group])}
    return [index for index in group if plan.shards[index].name in names]


def shards_of_group(plan: Plan, shard_group: str | None) -> list[int]:
    """Every Nth shard, from the largest to the smallest, so that groups are alike."""
    order = sorted(range(len(plan.shards)), key=lambda index: -plan.shards[index].num_bytes)
    if shard_group is None:
        return order
    found = re.fullmatch(r"(\d+)/(\d+)", shard_group)
    if found is None or not int(found[1]) < int(found[2]):
        raise UsageError(f"shard group {shard_group!r} is not I/N with I from 0 to N-1, such as 0/4.")
    return order[int(found[1]) :: int(found[2])]
