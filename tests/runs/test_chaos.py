"""Processes killed with SIGKILL at random moments: what comes out in the end is what an undisturbed run writes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

from datasets import Dataset

from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import parquet, stories
from tests.killing import kept, some_time_after_a_batch
from tests.processes import children

KILLS = int(os.environ.get("HF_TOEDIT_KILLS", "8"))
SHARDS = 24
LINES = 1000 + 10 * KILLS


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _running(run: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "hf_toedit", "run", str(run), "--workers", "2", "--quiet"]
    env = {**os.environ, "HF_TOEDIT_JOURNAL_S": "0"}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield process


def _num_done(run: Path) -> int:
    return len(list((run / "data").rglob("[!.]*.parquet")))


def _wait(run: Path, process: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Until some random moment: while workers start, or some time after the next shard is done."""
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0, 5))
        return
    before = _num_done(run)
    while process.poll() is None and _num_done(run) == before:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.4))


def _disturb(run: Path, kills: int, chance: random.Random) -> tuple[int, int]:
    """Kill workers and parents; returns how many of each. Ends early only where nothing is left to do."""
    killed = [0, 0]
    while sum(killed) < kills:
        with _running(run) as process:
            while process.poll() is None and sum(killed) < kills:
                _wait(run, process, chance)
                workers = children(process.pid)
                if workers and killed[0] <= 1.5 * killed[1]:
                    killed[0] += _kill(chance.choice(workers))
                elif process.poll() is None:
                    killed[1] += _kill(process.pid)
                    process.wait()
        if process.returncode == 0:
            for path in chance.sample(sorted((run / "data").rglob("*.parquet")), SHARDS // 2):
                path.unlink()
    return killed[0], killed[1]


def test_a_run_that_is_killed_again_and_again_ends_as_if_undisturbed(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source = tmp_path / "stories.parquet"
    told = stories(120, 600)
    Dataset.from_dict({"id": list(range(len(told))), "text": told}).to_parquet(source)
    runs = [tmp_path / name for name in ("undisturbed", "killed")]
    for run in runs:
        done = hf_toedit("plan", source, "-o", run, *eager(), "--generations", 2, "--num-shards", SHARDS)
        assert done.code == 0, done
    undisturbed, killed = runs
    assert hf_toedit("run", undisturbed).code == 0

    workers, parents = _disturb(killed, KILLS, random.Random(3))
    assert (workers + parents, min(workers, parents) > 0) == (KILLS, True)

    done = hf_toedit("run", killed, "--workers", 2)
    assert done.code == 0, done
    assert parquet(killed) == parquet(undisturbed)
    assert len(parquet(killed)) == 2 * SHARDS
    assert _stats(killed) == _stats(undisturbed)
    assert {path.relative_to(killed) for path in killed.rglob("*")} == {
        path.relative_to(undisturbed) for path in undisturbed.rglob("*")
    }
    verified = hf_toedit("verify", killed, "--json").json
    assert (verified["ok"], verified["num_rows"]) == (True, 2 * len(told))


def test_a_large_shard_loses_a_batch_to_each_kill(keeping: HfToEdit, tmp_path: Path) -> None:
    """No process lives longer than it takes to get one batch further, or to end a pass."""
    source = tmp_path / "lines.parquet"
    lines = [f"{number} cats sat on the mat." for number in range(LINES)]
    Dataset.from_dict({"text": lines}).to_parquet(source)
    run = tmp_path / "killed"
    what = *eager(), "--generations", 2, "--score-result", "--num-shards", 1
    assert keeping("plan", source, "-o", run, *what).code == 0
    undisturbed = Path(copytree(run, tmp_path / "undisturbed"))
    assert keeping("run", undisturbed).code == 0
    num_batches = 3 * -(-LINES // 1000)

    chance = random.Random(7)
    num_further, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        before = kept(run)
        code = keeping("run", run, kill_when=some_time_after_a_batch(run, chance)).code
        num_further += bool(kept(run) - before)  # not where a busy machine had it killed before its first batch
        assert num_further <= num_batches + 3
    assert code == 0
    assert num_further > 3
    assert parquet(run) == parquet(undisturbed)
    assert _stats(run) == _stats(undisturbed)
    assert {path.relative_to(run) for path in run.rglob("*")} == {
        path.relative_to(undisturbed) for path in undisturbed.rglob("*")
    }
    assert keeping("verify", run, "--json").json["ok"]


def _stats(run: Path) -> list[EditStats]:
    """Of each pass, but for the time it took."""
    folder = RunFolder(run)
    plan = folder.plan()
    merged = [folder.merged_stats(plan, pass_) for pass_ in plan.data_passes]
    result = folder.merged_stats(plan, plan.passes[-1])
    merged += [result] if result else []
    for stats in merged:
        stats.seconds = {}
    return merged
