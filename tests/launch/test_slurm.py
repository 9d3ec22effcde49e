"""Arrays of tasks on a real Slurm cluster, with killed, stopped and cancelled tasks."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from datasets import Dataset

from tests.cli.command import Finished, HfToEdit, eager
from tests.cli.fixtures import load, parquet, stories
from tests.processes import children
from tests.slurm_cluster import SlurmCluster, slurm, until  # noqa: F401

SHARDS = 16
TASKS = 3
ROWS = 32
GENERATIONS = 6  # a long shard then takes some seconds, and a process reports what it edits once per second
TOKEN = "hf_nobodyMayReadThis"


@pytest.fixture(scope="module")
def team(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a source in which three shards are long, one per task of an array, and execute a local run."""
    folder = tmp_path_factory.mktemp("the team's 100% folder")
    told = stories(ROWS + 20, 2000)
    long = [" ".join(told[index : index + 20]) for index in range(TASKS * ROWS // SHARDS)]
    Dataset.from_dict({"text": [*long, *told[len(long) : ROWS]]}).to_parquet(folder / "stories.parquet")
    _plan(hf_toedit, folder, "local run")
    assert hf_toedit("run", folder / "local run").code == 0
    return folder


def _plan(hf_toedit: HfToEdit, folder: Path, run: str) -> Path:
    options = ["--num-shards", SHARDS, "--generations", GENERATIONS]
    done = hf_toedit("plan", folder / "stories.parquet", "-o", folder / run, *eager(), *options)
    assert done.code == 0, done
    return folder / run


def _slurm(cluster: SlurmCluster, folder: Path, *options: object) -> Finished:
    words = [sys.executable, "-m", "hf_toedit", "slurm", *(str(option) for option in options)]
    env = {**cluster.env, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_TOKEN": TOKEN}
    done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True)
    return Finished(done.returncode, done.stdout, done.stderr)


def _submit(cluster: SlurmCluster, folder: Path, run: str, *options: object) -> str:
    done = _slurm(cluster, folder, run, "--partition", "main", "--time", 30, *options, "--submit")
    submitted, _, following = done.stdout.partition(". Next: ")
    said, _, job = submitted.rpartition(" ")
    assert shlex.split(following) == ["hf-toedit", "status", run, "--watch"]
    assert (done.code, done.stderr, said) == (0, "", "Submitted as job"), done
    return job


def _stopped(run: Path, count: int) -> dict[int, dict[str, str]]:
    """Stop processes that work on unfinished shards, and return the environment of each."""
    caught: dict[int, dict[str, str]] = {}

    def catch() -> bool:
        for path in (run / "toedit" / "progress").glob("[!.]*.json"):
            pid = int(path.stem.rpartition("-")[2])
            if pid not in caught and len(caught) < count:
                _signal(pid, signal.SIGSTOP)
                if _is_editing(run, path):
                    environment = (
                        Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="surrogateescape").split("\0")
                    )
                    caught[pid] = dict(line.partition("=")[::2] for line in environment if line)
                else:
                    _signal(pid, signal.SIGCONT)
        return len(caught) == count

    until(catch)
    return caught


def _signal(pid: int, number: int) -> None:
    for process in (pid, *children(pid)):
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _is_editing(run: Path, progress: Path) -> bool:
    """Whether a process reports that it is editing; it reports once per second."""
    try:
        running = json.loads(progress.read_text(encoding="utf-8"))["running"]
    except FileNotFoundError:
        return False
    return any(not (run / "data" / f"gen{GENERATIONS}" / f"{entry['shard']}.parquet").exists() for entry in running)


def test_an_array_whose_tasks_are_killed_ends_as_if_undisturbed(
    hf_toedit: HfToEdit,
    slurm: SlurmCluster,  # noqa: F811
    team: Path,
) -> None:
    run = _plan(hf_toedit, team, "my run")
    job = _submit(slurm, team, "my run", "--array", TASKS, "--cpus-per-task", 1)
    script = slurm("scontrol", "write", "batch_script", job, "-")
    assert TOKEN not in script

    caught = _stopped(run, 2)
    status = hf_toedit("status", run, "--json").json
    assert len(status["running"]) >= 2, status
    killed, told = caught
    assert {environment["SLURM_ARRAY_JOB_ID"] for environment in caught.values()} == {job}
    assert caught[killed]["CUDA_VISIBLE_DEVICES"] != caught[told]["CUDA_VISIBLE_DEVICES"]
    _signal(killed, signal.SIGCONT)  # resume its worker, which should end by itself
    os.kill(killed, signal.SIGKILL)
    # Slurm does this before the time limit: it signals the process that srun started, not the script.
    slurm("scancel", "--signal=TERM", f"{job}_{caught[told]['SLURM_ARRAY_TASK_ID']}")
    _signal(told, signal.SIGCONT)

    tasks = slurm.wait(job)
    restarted = {int(environment["SLURM_ARRAY_TASK_ID"]) for environment in caught.values()}
    logs = [(team / "logs" / f"{job}_{number}.log").read_text() for number in range(TASKS)]
    assert [task["JobState"] for task in tasks] == ["COMPLETED"] * TASKS, logs
    assert {number for number, task in enumerate(tasks) if task["Restarts"] == "1"} == restarted
    assert f"ended with code {128 + signal.SIGKILL} and" in logs[int(caught[killed]["SLURM_ARRAY_TASK_ID"])]
    assert "ended with code 130 and" in logs[int(caught[told]["SLURM_ARRAY_TASK_ID"])]

    assert hf_toedit("status", run, "--json").json["finished"]
    assert parquet(run) == parquet(team / "local run")
    assert len(parquet(run)) == GENERATIONS * SHARDS
    assert {path.relative_to(run) for path in run.rglob("*")} == {
        path.relative_to(team / "local run") for path in (team / "local run").rglob("*")
    }
    assert len(load(run)["train"]) == ROWS
    assert hf_toedit("verify", run, "--json").json["ok"]


def test_a_task_is_tried_again_as_often_as_said_and_not_where_that_is_in_vain(
    hf_toedit: HfToEdit,
    slurm: SlurmCluster,  # noqa: F811
    team: Path,
) -> None:
    cancelled = _plan(hf_toedit, team, "cancelled")
    _plan(hf_toedit, team, "moved")
    wrong = _submit(slurm, team, "moved", "--array", 1, "--workers", "many")
    slurm.wait(wrong)
    script = _slurm(slurm, team, "moved", "--array", 1, "--max-requeues", 1).stdout
    (team / "moved").rename(team / "away")
    failing = slurm("sbatch", "--parsable", stdin=script).strip()
    stopped = _submit(slurm, team, "cancelled", "--array", 1, "--gres", "none")
    _stopped(cancelled, 1)
    slurm("scancel", stopped)
    ends = {}
    for job in (wrong, failing, stopped):
        [task] = slurm.wait(job)
        ends[job] = task["JobState"], task["Restarts"], task["ExitCode"]
    assert ends[wrong] == ("FAILED", "0", "2:0")
    assert ends[failing] == ("FAILED", "1", "1:0")
    assert ends[stopped][:2] == ("CANCELLED", "0")
    log = (team / "logs" / f"{failing}_0.log").read_text()
    assert log.count("Error: moved is not a run folder") == 2
    assert log.count("is requeued") == 1
    assert log.count("ended with code 1 after as many restarts as --max-requeues allows") == 1


def test_what_slurm_refuses(slurm: SlurmCluster, team: Path) -> None:  # noqa: F811
    done = _slurm(slurm, team, "local run", "--array", 4, "--partition", "nope", "--submit")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Slurm refuses the job: invalid partition specified: nope")
