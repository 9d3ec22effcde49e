"""`hf-toedit status`: the progress of a run."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import GENERAL, SCALE, command, option
from hf_toedit.cli.options import json_option

if TYPE_CHECKING:
    from rich.console import Group

    from hf_toedit.runs.status import Status

_WATCH_S = 2.0
_WATCH_STORAGE_S = 15.0
"""Interval for remote storage, where an update takes many requests and processes report no more often."""

_FAILURES_SHOWN = 10


@command(purpose=SCALE, short_help="Show the progress of a run.")
@click.argument("run", shell_complete=completion.folders)
@option("--watch", group=GENERAL, is_flag=True, help="Update the display until the run is finished.")
@json_option
def status(run: str, watch: bool, as_json: bool) -> None:
    """Show the progress of RUN: shards done, running and failed, speed, remaining time, and statistics so far.

    \b
    Examples:
      hf-toedit status run --watch
    """  # noqa: D301
    from rich.live import Live

    from hf_toedit.api.run import Run
    from hf_toedit.cli.next_steps import next_steps
    from hf_toedit.cli.output import console
    from hf_toedit.program import command_line

    opened = Run.open(run)
    pause = _WATCH_S if isinstance(opened.path, Path) else _WATCH_STORAGE_S
    state = opened.status()
    if as_json and not watch:
        click.echo(json.dumps(state.to_json(), indent=2))
    elif as_json:
        while True:
            click.echo(json.dumps(state.to_json()))
            if state.is_finished:
                return
            time.sleep(pause)
            state = opened.status()
    elif not watch:
        console().print(_shown(state))
        if not state.is_finished and not state.running:
            click.echo(next_steps(next=command_line("run", str(opened.path))))
    else:
        with Live(_shown(state), console=console(), auto_refresh=False) as live:
            while not state.is_finished:
                time.sleep(pause)
                state = opened.status()
                live.update(_shown(state), refresh=True)


def _shown(state: Status) -> Group:
    from rich.console import Group
    from rich.text import Text

    from hf_toedit.cli.output import printable, statistics_tables

    figures = state.to_json()
    lines = [
        f"{state.num_done} of {state.num_shards} shards done, {len(state.running)} running, "
        f"{len(state.failed)} failed, {figures['num_waiting']} waiting"
    ]
    if state.tokens_per_second is not None:
        left = state.seconds_left
        rest = "" if left is None else f", about {timedelta(seconds=round(left))} left"
        lines.append(f"{state.tokens_per_second:,.0f} tokens/s{rest}")
    lines += [f"running: {entry.shard}, {entry.pass_name}, {entry.num_rows:,} rows" for entry in state.running]
    lines += [f"failed:  {failure.shard}: {printable(failure.reason)}" for failure in state.failed[:_FAILURES_SHOWN]]
    if len(state.failed) > _FAILURES_SHOWN:
        lines.append(f"         and {len(state.failed) - _FAILURES_SHOWN} more")
    if state.statistics[0].is_unreadable:
        reasons = state.statistics[0].skip_reasons.values()
        lines += ["no text could be read so far", *(f"of one text: {printable(reason)}" for reason in reasons)]
    return Group(*(Text(line) for line in lines), Text(""), statistics_tables(state))
