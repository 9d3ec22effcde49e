"""Progress records of processes may be incomplete or untrusted: invalid values are ignored."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from hf_toedit.runs.monitor import FAILURES, PROGRESS, Failure, failures, processes
from hf_toedit.runs.status import run_status
from hf_toedit.runs.store import RunFolder

ALIVE = {
    "host": platform.node(), "pid": os.getpid(), "updated": time.time(), "tokens_per_second": 1.5,
    "running": [{"shard": "train-00000-of-00001", "pass_name": "gen1", "num_rows": 3, "num_tokens": 30}],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"updated": "x"}, {"pid": "1"}, {"pid": 10**30}, {"pid": -1}, {"host": None}, {"tokens_per_second": True},
        {"tokens_per_second": float("nan")}, {"running": None}, {"running": [3]}, {"running": [{"shard": 3}]},
        {"running": [{"shard": "a", "num_rows": "3"}]}, {"running": [{}]}, {"new": 1},
        {"running": [{"shard": "a", "new": 1}]},
    ],
)  # fmt: skip
def test_progress_of_other_types_is_passed_over(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / PROGRESS / "here-1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(ALIVE))
    [process] = processes(RunFolder(tmp_path))
    assert process.running[0].num_tokens == 30
    path.write_text(json.dumps({**ALIVE, **change}))
    assert processes(RunFolder(tmp_path)) == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "null", '{"shard": 3, "reason": "x"}', '{"shard": "a"}', "[" * 5000]
)
def test_failures_of_other_types_are_passed_over(content: str, tmp_path: Path) -> None:
    folder = tmp_path / FAILURES
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(content)
    (folder / "b.json").write_text(json.dumps({"shard": "b", "reason": "no memory"}))
    assert failures(RunFolder(tmp_path)) == [Failure("b", "no memory")]


def test_a_finished_shard_has_not_failed(run: Path, tmp_path: Path) -> None:
    folder = RunFolder(copytree(run, tmp_path / "run"))
    plan = folder.plan()
    name = plan.shards[0].name
    folder.write_text(FAILURES / f"{name}.json", json.dumps({"shard": name, "reason": "no memory"}))
    assert run_status(plan, folder).failed == ()
    folder.stats_path(plan.passes[0], plan.shards[0]).unlink()
    assert run_status(plan, folder).failed == (Failure(name, "no memory"),)
