"""Options that choose an engine, and the engine that they choose."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.help import MACHINE, OUTPUT, option
from hf_toedit.cli.libraries import quiet_transformers
from hf_toedit.cli.options import Command, resources, together
from hf_toedit.errors import KEPT, Interrupted, UsageError
from hf_toedit.program import command_line

if TYPE_CHECKING:
    from hf_toedit.api.engine import Workers
    from hf_toedit.engines.base import Engine
    from hf_toedit.runs.task import Task

_RAY_OPTIONS = ("address", "num_workers", "cpus_per_worker", "gpus_per_worker")


workers_option = option(
    "--workers",
    group=MACHINE,
    default="auto",
    show_default=True,
    metavar="N",
    help="Worker processes; 0 = in-process, auto = one per GPU (one on CPU).",
)


def work_options(command: Command) -> Command:
    """Workers on this machine, or a Ray cluster."""
    return together(
        workers_option,
        option("--engine", group=MACHINE, rare=True, type=click.Choice(["local", "ray"]), default="local",
               show_default=True, help="Run on this machine or on a Ray cluster; ray requires hf-toedit[ray]."),
        option("--address", group=MACHINE, rare=True, metavar="ADDRESS",
               help="Address of the Ray cluster.  [default: RAY_ADDRESS, or a cluster on this machine]"),
        option("--num-workers", group=MACHINE, rare=True, type=click.IntRange(min=1), metavar="N",
               help="Number of Ray actors, each with a copy of the model.  [default: as many as fit]"),
        option("--cpus-per-worker", group=MACHINE, rare=True, type=click.IntRange(min=1), metavar="N",
               help="CPUs and threads per Ray actor.  [default: 1]"),
        option("--gpus-per-worker", group=MACHINE, rare=True, type=click.IntRange(min=0), metavar="N",
               help="GPUs per Ray actor.  [default: 1 if the cluster has GPUs]"),
    )(command)  # fmt: skip


@contextmanager
def engine(task: Task, options: Mapping[str, Any]) -> Iterator[Engine]:
    """The engine that the options choose; it ends within seconds on Ctrl-C or SIGTERM.

    Raises:
        Interrupted: it was.
        UsageError: no such number of workers, or options of another engine.
    """
    choose = _elsewhere if options.get("plan_only") else _ray if options.get("engine") == "ray" else _local
    with interruptible(), choose(task, options) as chosen:
        yield chosen


@contextmanager
def interruptible() -> Iterator[None]:
    """End within seconds on Ctrl-C or SIGTERM; what is done is kept.

    Raises:
        Interrupted: either came.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped. {KEPT}") from error
    finally:
        signal.signal(signal.SIGTERM, before)


plan_steps_option = option(
    "--plan-only",
    group=OUTPUT,
    rare=True,
    is_flag=True,
    help="Plan the next runs only, and print their folders for `hf-toedit run` or `hf-toedit slurm`; then repeat the "
    "command.",
)


@contextmanager
def left_to_others(options: Mapping[str, Any]) -> Iterator[None]:
    """Report the runs that --plan-only has planned."""
    from hf_toedit.engines.elsewhere import LeftToDo

    try:
        yield
    except LeftToDo as left:
        if options["as_json"]:
            click.echo(json.dumps({"planned": left.folders}, indent=2))
        elif not options["quiet"]:
            for folder in left.folders:
                click.echo(f"Planned: {folder}")
            either = f"`{command_line('run')}` or `{command_line('slurm')}`"
            click.echo(f"Next: {either} each of them, here or elsewhere; then repeat this command.")


@contextmanager
def _elsewhere(task: Task, options: Mapping[str, Any]) -> Iterator[Engine]:
    from hf_toedit.engines.elsewhere import ElsewhereEngine

    yield ElsewhereEngine(task)


@contextmanager
def _local(task: Task, options: Mapping[str, Any]) -> Iterator[Engine]:
    for name in _RAY_OPTIONS:
        if options.get(name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} requires --engine ray. Add it, or leave this option out.")
    count = num_workers(options)
    from hf_toedit.api.engine import local_engine

    with local_engine(count, task, resources(options)) as chosen:
        yield chosen


def num_workers(options: Mapping[str, Any]) -> Workers:
    """Number of worker processes; without any, progress bars of `transformers` are disabled.

    Raises:
        UsageError: it is not a number.
    """
    workers = str(options["workers"])
    if workers == "auto":
        return "auto"
    if not re.fullmatch(r"0|[1-9][0-9]*", workers):
        raise UsageError(f"workers {workers!r} is not a number. Name one, or auto.")
    if workers == "0":
        quiet_transformers()
    return int(workers)


@contextmanager
def _ray(task: Task, options: Mapping[str, Any]) -> Iterator[Engine]:
    if str(options["workers"]) != "auto":
        raise UsageError("--workers requires --engine local. With --engine ray, use --num-workers.")
    try:
        from hf_toedit.engines.ray import RayEngine
    except ImportError as error:
        raise UsageError(
            f"--engine ray needs Ray, which cannot be imported here ({error}). Run: pip install 'hf-toedit[ray]'."
        ) from error
    given = {name: options[name] for name in _RAY_OPTIONS if options[name] is not None}
    # Ray prints the output of its nodes to standard output, which is for the result.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        with RayEngine(task, resources(options), **given) as ray:
            yield ray
