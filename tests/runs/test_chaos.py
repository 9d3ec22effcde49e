"""Processes killed at random (HF_TOEDIT_KILLS sets how many): the result is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import time
from itertools import product
from pathlib import Path
from shutil import copytree

from datasets import Dataset

from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats
from tests.cli.command import HfToEdit, Process, eager
from tests.cli.fixtures import parquet, stories
from tests.killing import kept, some_time_after_a_batch
from tests.processes import children

KILLS = int(os.environ.get("HF_TOEDIT_KILLS", "4"))
SHARDS = 12
LINES = 1000 + 10 * KILLS


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _num_done(run: Path) -> int:
    return len(list((run / "data").rglob("[!.]*.parquet")))


def _wait(run: Path, process: Process, victim: str, moment: str, chance: random.Random) -> None:
    """Wait until a random moment: while workers start, or some time after the next shard is done."""
    if moment == "starting":
        while victim == "worker" and process.is_alive and not children(process.pid):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 4))
        return
    before = _num_done(run)
    while process.is_alive and _num_done(run) == before:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.4))


def _disturb(command: HfToEdit, run: Path, kills: int, chance: random.Random) -> None:
    """Kill workers and parents, while workers start and while they edit, until both happened often enough.

    If no work is left before that, half of the shards are deleted.
    """
    every = list(product(("worker", "parent"), ("starting", "editing")))
    wanted = [kill for _ in range(0, kills, len(every)) for kill in chance.sample(every, len(every))][:kills]
    while wanted:
        with command.begin("run", run, "--workers", 2, "--quiet") as process:
            while wanted and process.is_alive:
                victim, moment = wanted[0]
                _wait(run, process, victim, moment, chance)
                pids = children(process.pid) if victim == "worker" else [process.pid]
                if process.is_alive and pids and _kill(chance.choice(pids)):
                    wanted.pop(0)
                if victim == "parent":
                    break
            code = process.end().code
        if code == 0 and wanted:
            for path in chance.sample(sorted((run / "data").rglob("*.parquet")), SHARDS // 2):
                path.unlink()


def test_a_run_that_is_killed_again_and_again_ends_as_if_undisturbed(
    hf_toedit: HfToEdit, keeping: HfToEdit, tmp_path: Path
) -> None:
    source = tmp_path / "stories.parquet"
    told = stories(60, 600)
    Dataset.from_dict({"id": list(range(len(told))), "text": told}).to_parquet(source)
    runs = [tmp_path / name for name in ("undisturbed", "killed")]
    for run in runs:
        done = hf_toedit("plan", source, "-o", run, *eager(), "--generations", 2, "--num-shards", SHARDS)
        assert done.code == 0, done
    undisturbed, killed = runs
    assert hf_toedit("run", undisturbed).code == 0

    _disturb(keeping, killed, KILLS, random.Random(3))
    done = hf_toedit("run", killed)
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
    """Every process lives only until it finishes one more batch or a pass."""
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
        num_further += bool(kept(run) - before)  # false if a busy machine delayed the first batch
        assert num_further <= num_batches + 3
    assert code == 0
    assert num_further >= 3  # a process may also finish a pass
    assert parquet(run) == parquet(undisturbed)
    assert _stats(run) == _stats(undisturbed)
    assert {path.relative_to(run) for path in run.rglob("*")} == {
        path.relative_to(undisturbed) for path in undisturbed.rglob("*")
    }
    assert keeping("verify", run, "--json").json["ok"]


def _stats(run: Path) -> list[EditStats]:
    """Return the statistics of each pass, without times."""
    folder = RunFolder(run)
    plan = folder.plan()
    merged = [folder.merged_stats(plan, pass_) for pass_ in plan.data_passes]
    result = folder.merged_stats(plan, plan.passes[-1])
    merged += [result] if result else []
    for stats in merged:
        stats.seconds = {}
    return merged
