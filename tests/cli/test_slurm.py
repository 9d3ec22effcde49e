"""The script that `hf-toedit slurm` prints; `tests/launch/test_slurm.py` runs it on a cluster."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import HfToEdit, eager
from tests.shared import lacking


@pytest.fixture(scope="module")
def planned(hf_toedit: HfToEdit, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan a run of six shards; read-only for tests."""
    run = tmp_path_factory.mktemp("planned") / "run"
    done = hf_toedit("plan", source, "-o", run, *eager(), "--num-shards", 6)
    assert done.code == 0, done
    return run


def _script(hf_toedit: HfToEdit, *args: object, cwd: Path) -> str:
    done = hf_toedit("slurm", *args, cwd=cwd)
    assert (done.code, done.stderr) == (0, ""), done
    return done.stdout


def _directives(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_what_is_asked_of_slurm(hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    asked = ("--array", 6, "--partition", "gpu", "--time", "12:00:00")
    script = _script(hf_toedit, planned, *asked, cwd=tmp_path)
    assert _directives(script) == [
        "--job-name=toedit-run",
        "--array=0-5",
        "--ntasks=1",
        f"--chdir={tmp_path}",
        f"--output={tmp_path}/logs/%A_%a.log",
        "--open-mode=append",
        "--requeue",
        "--signal=TERM@120",
        "--partition=gpu",
        "--time=12:00:00",
        "--gres=gpu:1",
    ]
    command = Path(sys.executable).with_name("hf-toedit")
    assert f'srun --export=ALL {command} run {planned} --shard-group "$SLURM_ARRAY_TASK_ID/6"\n' in script
    assert f"export HF_HOME={hf_toedit.env['HF_HOME']}\n" in script
    assert "${SLURM_RESTART_COUNT:-0} >= 5" in script
    assert list(tmp_path.iterdir()) == [tmp_path / "logs"]


@pytest.mark.parametrize("time", ["0", "90", "90:30", "5:30", "12:00:00", "1-12", "1-12:30", "1-12:30:00", "unlimited"])
def test_times_of_sbatch(time: str, hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    script = _script(hf_toedit, planned, "--array", 1, "--time", time, cwd=tmp_path)
    assert f"--time={time}" in _directives(script)


def test_options_of_sbatch_and_of_run(hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    """They come from the command line or a file; options of `run` are passed on."""
    (tmp_path / "slurm.yaml").write_text("array: 4%2\naccount: lab\nsbatch_option: [nice=7]\nworkers: 2\nseed: 3\n")
    more = ("--config", "slurm.yaml", "--cpus-per-task", 8, "--mem", "64G", "--qos", "low", "--max-requeues", 2)
    run_options = ("--device", "cuda", "--push-to", "org/name", "--public", "--generations", 3)
    sbatch = ("--sbatch-option", "constraint=a100&nvlink", "--sbatch-option", "--exclusive", "--gres", "none")
    script = _script(hf_toedit, planned, *more, *run_options, *sbatch, "--logs", tmp_path / "of 100%", cwd=tmp_path)
    told = _directives(script)
    for expected in (
        "--array=0-3%2", "--account=lab", "--cpus-per-task=8", "--mem=64G", "--qos=low", "'--constraint=a100&nvlink'",
        "--exclusive", f"'--output={tmp_path}/of 100%%/%A_%a.log'",
    ):  # fmt: skip
        assert expected in told
    assert not [line for line in told if "gres" in line or "nice" in line]  # the command line overrides the file
    assert "srun --export=ALL --cpus-per-task=8 " in script
    [command] = [line for line in script.splitlines() if line.startswith("srun ")]
    given = "--generations 3 --workers 2 --device cuda --push-to org/name --public"
    assert command.endswith(f' --shard-group "$SLURM_ARRAY_TASK_ID/4" {given}')
    assert "${SLURM_RESTART_COUNT:-0} >= 2" in script


def test_no_secret_comes_along(planned: Path, tmp_path: Path) -> None:
    secrets = {"HF_TOKEN": "hf_secret1", "HUGGING_FACE_HUB_TOKEN": "hf_secret2", "AWS_SECRET_ACCESS_KEY": "secret3"}
    command = [sys.executable, "-m", "hf_toedit", "slurm", str(planned), "--array", "1"]
    done = subprocess.run(command, env={**os.environ, **secrets}, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "secret1" not in done.stdout and "secret2" not in done.stdout and "secret3" not in done.stdout


@pytest.mark.parametrize("checker", [["bash", "-n"], ["shellcheck", "--shell=bash"]], ids=["bash", "shellcheck"])
def test_the_script_is_sound(checker: list[str], hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    if not shutil.which(checker[0]):
        lacking(f"{checker[0]} (Debian: apt-get install {checker[0]})")
    odd = tmp_path / 'it\'s "$HOME" `x` #1'
    odd.mkdir()
    (odd / "a run").symlink_to(planned)
    script = odd / "job.sh"
    script.write_text(_script(hf_toedit, "a run", "--array", 4, "--cpus-per-task", 2, "--push-to", "a/b", cwd=odd))
    checked = subprocess.run([*checker, str(script)], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--array", "7"], "an array of 7 is larger than the run, which has 6 shards. Use --array 6, or plan the run"),
        (["--array", "0-3"], "array '0-3' is not a number of tasks, such as 64, or 64%16 for 16 of them at a time."),
        (["--array", "0"], "array '0' is not a number of tasks"),
        (["--array", "4", "--sbatch-option", "=x"], "sbatch option '=x' is not NAME=VALUE"),
        (["--array", "4", "--time", "1\n#SBATCH --x"], "has a line break, and cannot be written into a batch script."),
        (["--array", "4", "--time", "x"], "time 'x' is not a time of Slurm. Write it as minutes (90), MM:SS,"),
        (["--array", "4", "--sbatch-option", "time=12h"], "time '12h' is not a time of Slurm."),
        (["--array", "4", "--time", "1-"], "time '1-' is not a time of Slurm."),
        (["--array", "4", "--time", "1:2:3:4"], "time '1:2:3:4' is not a time of Slurm."),
        (["--array", "4", "--time", "2"], "time '2' is 2 minutes, and a task is stopped 2 minutes before its end."),
        (["--array", "4", "--time", "0:4:59"], "time '0:4:59' is 4 minutes, and a task is stopped"),
        (["--array", "4", "--public"], "--public requires --push-to."),
        (["--array", "4", "--cpus-per-task", "0"], "Invalid value for '--cpus-per-task'"),
        ([], "Missing option '--array'"),
    ],
)
def test_wrong_use(options: list[str], said: str, hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    assert said in hf_toedit.fails("slurm", planned, *options, code=2, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_logs_that_is_a_file(hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    said = hf_toedit.fails("slurm", planned, "--array", 1, "--logs", tmp_path / "logs")
    assert said == f"cannot make {tmp_path}/logs, for logs: File exists. Name another folder with --logs."


def test_what_cannot_be_submitted(hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    assert "is not a run folder" in hf_toedit.fails("slurm", tmp_path, "--array", 1)
    command = [sys.executable, "-m", "hf_toedit", "slurm", str(planned), "--array", "1", "--submit"]
    env = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: cannot start sbatch: No such file or directory. Submit on a machine")


def test_status_names_the_next_command(hf_toedit: HfToEdit, planned: Path) -> None:
    assert hf_toedit("status", planned).stdout.endswith(f"\nNext: hf-toedit run {planned}\n")


def test_next_commands_quote_the_name_of_the_folder(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    asked = "plan", source, "-o", "the team's run", *eager()
    assert shlex.quote("the team's run") in hf_toedit(*asked, cwd=tmp_path).stdout
    assert shlex.quote("the team's run") in hf_toedit.fails(*asked, "--seed", 3, cwd=tmp_path)


def test_status_tells_of_tasks_on_other_machines(hf_toedit: HfToEdit, planned: Path, tmp_path: Path) -> None:
    """Two tasks are alive with the same process id, and one has been silent since its machine died."""
    run = Path(shutil.copytree(planned, tmp_path / "run"))
    (run / "toedit/progress").mkdir()
    for number, silent_s in enumerate((0, 1, 600)):
        running = [{"shard": f"train-0000{number}-of-00006", "pass_name": "gen1", "num_rows": 2, "num_tokens": 50}]
        state = {"host": f"node{number}", "pid": 77, "updated": time.time() - silent_s, "tokens_per_second": 5}
        (run / f"toedit/progress/node{number}-77.json").write_text(json.dumps({**state, "running": running}))
    status = hf_toedit("status", run, "--json").json
    assert [entry["shard"] for entry in status["running"]] == ["train-00000-of-00006", "train-00001-of-00006"]
    assert (status["num_waiting"], status["tokens_per_second"]) == (4, 10)
