"""`hf-toedit slurm`: a run becomes an array of tasks on a Slurm cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from hf_toedit.cli.options import COMMAND_LINE, config_option
from hf_toedit.cli.run import run
from hf_toedit.errors import UsageError

_OF_EVERY_TASK = (
    "generations", "score_result", "workers", "device", "token_budget", "memory_fraction", "tensor_parallel",
    "trust_remote_code", "push_to", "push_revision", "push_prefix", "public", "unverified",
)  # fmt: skip
_RUN_OPTIONS = [option for option in run.params if option.name in _OF_EVERY_TASK and isinstance(option, click.Option)]


@click.command(short_help="Run the shards of a planned run on a Slurm cluster.")
@click.argument("run")
@click.option("--array", required=True, metavar="N[%M]", help="Tasks, at most one a shard; M of them at a time.")
@click.option("--partition", metavar="NAME", help="Of the cluster.  [default: the cluster's]")
@click.option("--time", metavar="TIME", help="Of a task, as 12:00:00; it is requeued when that is over.")
@click.option("--gres", default="gpu:1", show_default=True, metavar="NAME:N", help="GPUs of a task; none for none.")
@click.option("--cpus-per-task", type=click.IntRange(min=1), metavar="N", help="CPUs of a task.")
@click.option("--mem", metavar="SIZE", help="Memory of a task, as 64G.")
@click.option("--account", metavar="NAME", help="Who is charged.")
@click.option("--qos", metavar="NAME", help="Quality of service.")
@click.option("--sbatch-option", multiple=True, metavar="NAME[=VALUE]",
              help="Any other option of sbatch, as constraint=a100; may be repeated.")  # fmt: skip
@click.option("--max-requeues", type=click.IntRange(min=0), default=5, show_default=True, metavar="N",
              help="How often a task is started again that failed, was killed, or ran out of time.")  # fmt: skip
@click.option("--logs", default="logs", show_default=True, metavar="DIR", help="Folder of the logs; it is made.")
@click.option("--submit", is_flag=True, help="Hand the script to sbatch instead of printing it.")
@config_option
def slurm(run: str, **options: Any) -> None:
    """Print a script for sbatch that edits RUN, a folder made by `hf-toedit plan`, as an array of tasks.

    Each task edits a group of shards, with the options of `hf-toedit run` that are given here. The script has the
    Python, the working folder and the cache folders of this command in it, and no token.

    \b
    Examples:
      hf-toedit slurm run --array 64 --partition gpu --time 12:00:00 > job.sh
      hf-toedit slurm run --array 64%16 --partition gpu --time 4:00:00 --cpus-per-task 8 --submit
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
    logs = Path(options["logs"]).expanduser()
    sbatch = _sbatch(options)
    _check_lines(typed, str(Path.cwd()), str(logs.absolute()), *sbatch, *filter(None, sbatch.values()), *run_options)
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
    logs.mkdir(parents=True, exist_ok=True)  # Slurm does not, and a task without its log fails in silence
    if options["submit"]:
        job = submit(script)
        click.echo(f"Submitted as job {job}. Next: hf-toedit status {run} --watch")
    else:
        click.echo(script_bytes(script), nl=False)


slurm.params.extend(_RUN_OPTIONS)


def _array(array: str, num_shards: int) -> tuple[int, int | None]:
    """How many tasks, and how many at a time.

    Raises:
        UsageError: these are no such numbers, or there are fewer shards.
    """
    found = re.fullmatch(r"([1-9]\d*)(?:%([1-9]\d*))?", array)
    if found is None:
        raise UsageError(f"array {array!r} is not a number of tasks, such as 64, or 64%16 for 16 of them at a time.")
    num_tasks = int(found[1])
    if num_tasks > num_shards:
        raise UsageError(
            f"an array of {num_tasks} is larger than the run, which has {num_shards} shards. Say --array {num_shards}, "
            f"or plan the run anew with --num-shards {num_tasks}."
        )
    return num_tasks, int(found[2]) if found[2] else None


def _sbatch(options: dict[str, Any]) -> dict[str, str | None]:
    """Options of sbatch, by their long names.

    Raises:
        UsageError: one has no name.
    """
    named = ("partition", "time", "gres", "cpus_per_task", "mem", "account", "qos")
    sbatch = {name.replace("_", "-"): str(options[name]) for name in named if options[name] is not None}
    for text in options["sbatch_option"]:
        name, _, value = text.lstrip("-").partition("=")
        if not re.fullmatch(r"[a-z][a-z-]*", name):
            raise UsageError(f"sbatch option {text!r} is not NAME=VALUE, or NAME, with a long name of sbatch.")
        sbatch[name] = value
    return {name: None if (name, value) == ("gres", "none") else value for name, value in sbatch.items()}


def _run_options(context: click.Context) -> list[str]:
    """The options of `hf-toedit run` that were given, here or in a file, as words of its command line."""
    words: list[str] = []
    for option in _RUN_OPTIONS:
        value = context.params[str(option.name)]
        if context.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT or value is False:
            continue
        words += [option.opts[0]] if option.is_flag else [option.opts[0], str(value)]
    return words


def _check_lines(*texts: str) -> None:
    """Refuse what would break out of its line in the script.

    Raises:
        UsageError: one would.
    """
    for text in texts:
        if "\n" in text or "\r" in text:
            raise UsageError(f"{text!r} has a line break, and cannot stand in a script for sbatch. Name it otherwise.")
