"""The engine of a Slurm cluster: a batch script for an array whose tasks edit a group of shards each; its submission.

This module neither edits nor schedules: Slurm starts `hf-toedit run RUN --shard-group I/N` in every task, and starts it
again if the script requests that.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hf_toedit.errors import RunError
from hf_toedit.program import command_line
from hf_toedit.version import __version__

STOP_S = 120
"""Seconds before the end of its time at which a task is stopped; Slurm may be a minute late."""

_CAPTURED = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "XDG_CACHE_HOME",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
)
"""Variables with locations of files. None is captured by a pattern, so that no secret can be included."""


def array_script(
    run: str,
    num_tasks: int,
    *,
    typed: str,
    sbatch: Mapping[str, str | None],
    run_options: Sequence[str] = (),
    logs: Path,
    at_once: int | None = None,
    max_requeues: int,
) -> str:
    """Return a script for `sbatch` that edits a run with the Python, the variables and the folder of this process.

    Args:
        run: The run folder, as named by the user.
        num_tasks: Number of tasks of the array; each edits every `num_tasks`-th shard.
        typed: The command that requested the script.
        sbatch: Options of sbatch by their long names, without dashes; they override the defaults. An empty value is a
            flag, and None leaves an option out.
        run_options: Options of `hf-toedit run`, as command-line words.
        logs: Folder of the logs.
        at_once: Maximum number of tasks that run at a time; None leaves it to Slurm.
        max_requeues: Maximum number of times that a task is restarted.
    """
    options: dict[str, str | None] = {
        "job-name": f"toedit-{run.rstrip('/').rpartition('/')[2]}",
        "array": f"0-{num_tasks - 1}" + (f"%{at_once}" if at_once else ""),
        "ntasks": "1",
        "chdir": str(Path.cwd()),
        "output": str(logs.absolute()).replace("%", "%%") + "/%A_%a.log",
        "open-mode": "append",
        "requeue": "",
        "signal": f"TERM@{STOP_S}",
        **sbatch,
    }
    directives = "\n".join(
        "#SBATCH " + shlex.quote(f"--{name}={value}" if value else f"--{name}")
        for name, value in options.items()
        if value is not None
    )
    exports = "".join(f"export {name}={shlex.quote(os.environ[name])}\n" for name in _CAPTURED if os.environ.get(name))
    # A job step has only the CPUs that it requests itself, not those of the job (Slurm 22.05).
    cpus = f" --cpus-per-task={shlex.quote(cpus)}" if (cpus := options.get("cpus-per-task")) else ""
    command = shlex.join([*_hf_toedit(), "run", run])
    more = f" {shlex.join(run_options)}" if run_options else ""
    return f"""\
#!/bin/bash
# Made by hf-toedit {__version__}: {typed}
#
# An array of {num_tasks}: each task edits a share of the run's shards. Finished shards are skipped, so this
# script may be submitted again at any time. The task that finishes the run writes its card.
#   progress:    {command_line("status", run)}
#   logs of the tasks:   {shlex.quote(str(logs.absolute()))}
{directives}

# Paths of the shell that made this script. Secrets are not written here: a task has the variables that
# sbatch is called with, and the token that `hf auth login` left in HF_HOME.
{exports}
# When the time limit is near, Slurm sends SIGTERM to what srun started, which then ends within seconds.
srun --export=ALL{cpus} {command} --shard-group "$SLURM_ARRAY_TASK_ID/{num_tasks}"{more}
code=$?

# Requeue after a failure, a kill or a timeout; not after a usage error (2), or too many tries.
if (( code != 0 && code != 2 && ${{SLURM_RESTART_COUNT:-0}} >= {max_requeues} )); then
    echo "Task $SLURM_ARRAY_TASK_ID ended with code $code after as many restarts as --max-requeues allows." >&2
    echo "Submit this script again to continue." >&2
elif (( code != 0 && code != 2 )); then
    echo "Task $SLURM_ARRAY_TASK_ID ended with code $code and is requeued." >&2
    # This also ends the script. $SLURM_JOB_ID does not identify the task: for one task it is the id of the whole array.
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit $code
"""


def _hf_toedit() -> list[str]:
    """Return the current command; without its script, as in a checkout that is not installed, its module."""
    script = Path(sys.executable).with_name("hf-toedit")
    return [str(script)] if script.exists() else [sys.executable, "-m", "hf_toedit"]


def script_bytes(script: str) -> bytes:
    """Encode a script as a file: in UTF-8, whatever the terminal's encoding, with the system's bytes in file names."""
    return script.encode("utf-8", "surrogateescape")


def submit(script: str) -> str:
    """Submit a script to Slurm.

    Returns:
        The id of the job.

    Raises:
        RunError: There is no Slurm on this machine, or it refuses.
    """
    try:
        done = subprocess.run(["sbatch", "--parsable"], input=script_bytes(script), capture_output=True)
    except OSError as error:
        raise RunError(
            f"cannot start sbatch: {error.strerror}. Submit on a machine that has Slurm, such as the cluster's login "
            f"node, or leave --submit out and print the script."
        ) from error
    printed, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    if done.returncode:
        said = " ".join(line.removeprefix("sbatch: error: ") for line in errors.splitlines() if line.strip())
        raise RunError(f"Slurm refuses the job: {said or f'sbatch ended with code {done.returncode}'}")
    return printed.split()[-1].partition(";")[0]  # with several clusters: ID;CLUSTER
