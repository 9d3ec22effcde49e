"""`hf-toedit slurm`: a run as an array of tasks on a Slurm cluster."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from hf_toedit.cli import completion
from hf_toedit.cli.help import SCALE, command, option
from hf_toedit.cli.options import COMMAND_LINE, config_option
from hf_toedit.cli.run import run
from hf_toedit.errors import RunError, UsageError
from hf_toedit.program import command_line

_SLURM = "Slurm"
_TIME = re.compile(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|UNLIMITED|INFINITE", re.ASCII | re.IGNORECASE)
"""What sbatch reads as a time: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
days-hours:minutes:seconds, or no limit."""
_FEWEST_MINUTES = 5
_OF_EVERY_TASK = (
    "generations", "score_result", "workers", "device", "token_budget", "memory_fraction", "tensor_parallel",
    "trust_remote_code", "push_to", "push_revision", "push_prefix", "public", "unverified",
)  # fmt: skip
_RUN_OPTIONS = [param for param in run.params if param.name in _OF_EVERY_TASK and isinstance(param, click.Option)]


@command(purpose=SCALE, short_help="Run on a Slurm cluster, as an array of tasks.")
@click.argument("run", shell_complete=completion.folders)
@option("--array", group=_SLURM, required=True, metavar="N[%M]", help="Number of tasks; at most M at a time.")
@option("--partition", group=_SLURM, metavar="NAME", help="Slurm partition.  [default: the cluster's]")
@option("--time", group=_SLURM, metavar="TIME", help="Time limit per task, as 12:00:00; requeued on timeout.")
@option("--gres", group=_SLURM, default="gpu:1", show_default=True, metavar="NAME:N", help="GPUs per task, or none.")
@option("--cpus-per-task", group=_SLURM, type=click.IntRange(min=1), metavar="N", help="CPUs per task.")
@option("--mem", group=_SLURM, metavar="SIZE", help="Memory per task, as 64G.")
@option("--account", group=_SLURM, metavar="NAME", help="Account to charge.")
@option("--qos", group=_SLURM, rare=True, metavar="NAME", help="Quality of service.")
@option("--sbatch-option", group=_SLURM, multiple=True, metavar="NAME[=VALUE]",
        help="Other option of sbatch, as constraint=a100. Repeatable.")  # fmt: skip
@option("--max-requeues", group=_SLURM, rare=True, type=click.IntRange(min=0), default=5, show_default=True,
        metavar="N", help="Maximum number of restarts of a task that fails, is killed or times out.")  # fmt: skip
@option("--logs", group=_SLURM, default="logs", show_default=True, metavar="DIR", shell_complete=completion.folders,
        help="Folder of logs; created if missing.")  # fmt: skip
@option("--submit", group=_SLURM, is_flag=True, help="Submit the script to sbatch instead of printing it.")
@config_option
def slurm(run: str, **options: Any) -> None:
    """Print a batch script that processes RUN, a folder written by `hf-toedit plan`, as an array of tasks.

    Each task processes a group of shards, with the options of `hf-toedit run` given here. The script contains the
    Python, working folder and cache folders of this command, and no token.

    \b
    Examples:
      hf-toedit slurm run --array 64 --partition gpu --time 12:00:00 > job.sh
      hf-toedit slurm run --array 64%16 --partition gpu --cpus-per-task 8 --submit
    """  # noqa: D301
    from hf_toedit.launch.slurm import array_script, script_bytes, submit
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.work import check_trust

    context = click.get_current_context()
    typed = context.meta.get(COMMAND_LINE, context.command_path)
    plan = RunFolder(run).plan()
    check_trust(plan, options["trust_remote_code"])
    num_tasks, at_once = _array(options["array"], len(plan.shards))
    run_options = _run_options(context)
    logs = Path(os.path.expanduser(options["logs"]))
    sbatch = _sbatch(options)
    _check_lines(typed, str(Path.cwd()), str(logs.absolute()), *sbatch, *filter(None, sbatch.values()), *run_options)
    _check_time(sbatch.get("time"))
    script = array_script(
        run,
        num_tasks,
        typed=typed,
        sbatch=sbatch,
        run_options=run_options,
        logs=logs,
        at_once=at_once,
        max_requeues=options["max_requeues"],
    )
    try:
        logs.mkdir(parents=True, exist_ok=True)  # Slurm does not, and a task without its log fails in silence
    except OSError as error:
        raise RunError(f"cannot make {logs}, for logs: {error.strerror}. Name another folder with --logs.") from error
    if options["submit"]:
        job = submit(script)
        click.echo(f"Submitted as job {job}. Next: {command_line('status', run, '--watch')}")
    else:
        click.echo(script_bytes(script), nl=False)


slurm.params[-1:-1] = _RUN_OPTIONS


def _array(array: str, num_shards: int) -> tuple[int, int | None]:
    """Number of tasks, and maximum at a time.

    Raises:
        UsageError: The text is malformed, or the run has fewer shards.
    """
    found = re.fullmatch(r"([1-9]\d*)(?:%([1-9]\d*))?", array)
    if found is None:
        raise UsageError(f"array {array!r} is not a number of tasks, such as 64, or 64%16 for 16 of them at a time.")
    num_tasks = int(found[1])
    if num_tasks > num_shards:
        from hf_toedit.cli.output import counted

        raise UsageError(
            f"an array of {num_tasks} is larger than the run, which has {counted(num_shards, 'shard')}. "
            f"Use --array {num_shards}, or plan the run again with --num-shards {num_tasks}."
        )
    return num_tasks, int(found[2]) if found[2] else None


def _sbatch(options: dict[str, Any]) -> dict[str, str | None]:
    """Options of sbatch, by their long names.

    Raises:
        UsageError: A name is missing or malformed.
    """
    named = ("partition", "time", "gres", "cpus_per_task", "mem", "account", "qos")
    sbatch = {name.replace("_", "-"): str(options[name]) for name in named if options[name] is not None}
    for text in options["sbatch_option"]:
        name, _, value = text.lstrip("-").partition("=")
        if not re.fullmatch(r"[a-z][a-z-]*", name):
            raise UsageError(f"sbatch option {text!r} is not NAME=VALUE, or NAME, with a long name of sbatch.")
        sbatch[name] = value
    return {name: None if (name, value) == ("gres", "none") else value for name, value in sbatch.items()}


def _check_time(time: str | None) -> None:
    """Refuse a time that sbatch would refuse, or in which a task would do nothing.

    Raises:
        UsageError: It is not in one of sbatch's formats, or too short.
    """
    from hf_toedit.launch.slurm import STOP_S

    if time is None:
        return
    if not _TIME.fullmatch(time):
        raise UsageError(
            f"time {time!r} is not a time of Slurm. Write it as minutes (90), MM:SS, HH:MM:SS, D-HH, D-HH:MM or "
            f"D-HH:MM:SS, for example 12:00:00."
        )
    if (minutes := _minutes(time)) < _FEWEST_MINUTES:
        raise UsageError(
            f"time {time!r} is {minutes:.0f} minutes, and a task is stopped {STOP_S // 60} minutes before its end. "
            f"Give it {_FEWEST_MINUTES} minutes or more; 2 hours are 2:00:00."
        )


def _minutes(time: str) -> float:
    """Return a time of sbatch in whole minutes; see `_TIME`. Zero is no limit as well."""
    if not time[0].isdigit():
        return math.inf
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash or len(parts) == 3:
        hours, minutes = [*parts, 0][:2]
        return (int(days or 0) * 24 + hours) * 60 + minutes or math.inf
    return parts[0] or math.inf


def _run_options(context: click.Context) -> list[str]:
    """The options of `hf-toedit run` that are given, here or in a file, as command-line words."""
    words: list[str] = []
    for known in _RUN_OPTIONS:
        value = context.params[str(known.name)]
        if context.get_parameter_source(str(known.name)) is ParameterSource.DEFAULT or value is False:
            continue
        words += [known.opts[0]] if known.is_flag else [known.opts[0], str(value)]
    return words


def _check_lines(*texts: str) -> None:
    """Refuse texts with line breaks, which would add lines to the script.

    Raises:
        UsageError: A text has one.
    """
    for text in texts:
        if "\n" in text or "\r" in text:
            raise UsageError(f"{text!r} has a line break, and cannot be written into a batch script. Rename it.")
