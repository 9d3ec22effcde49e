"""Runs with a prior in vLLM: from the command line, killed, and resumed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tests.cli.fixtures import load, parquet
from tests.processes import OwnProcess, children, is_alive
from tests.vllm.command import hf_toedit


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Edit the first rows of the sample."""
    folder = tmp_path_factory.mktemp("vllm") / "run"
    done = hf_toedit("edit", "sample", "--backend", "vllm", "--limit", 5, "-o", folder, "--num-shards", 2, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_a_run_is_as_with_transformers(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert hf_toedit("edit", "sample", "--limit", 5, "-o", other, "--num-shards", 2, "--quiet").returncode == 0
    mine, expected = load(run)["train"], load(other)["train"]
    assert mine.features == expected.features
    for log, told in zip(mine["toedit"], expected["toedit"], strict=True):
        assert log["num_tokens"] == told["num_tokens"]
        assert abs(log["num_selected"] - told["num_selected"]) <= 1
        assert log["nll"] == pytest.approx(told["nll"], abs=1e-4)
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert (plan["task"]["prior"]["backend"], plan["task"]["prior"]["dtype"]) == ("vllm", "float32")
    assert "vLLM" in (run / "README.md").read_text()
    assert hf_toedit("verify", run).stdout.startswith("Sound: ")


def test_a_run_does_not_go_on_with_another_backend(run: Path) -> None:
    refused = hf_toedit("edit", "sample", "--limit", 5, "-o", run, "--num-shards", 2, "--quiet")
    assert refused.returncode == 1
    assert "--backend is vllm in the run and transformers here" in refused.stderr


def test_a_run_that_is_killed_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ("sample", "--backend", "vllm", "--limit", 6, "-o", run, "--num-shards", 3, "--generations", 3)
    assert hf_toedit("plan", *asked).returncode == 0
    with OwnProcess([sys.executable, "-m", "hf_toedit", "run", str(run), "--quiet"]) as process:
        until = time.monotonic() + 120
        while not parquet(run):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        workers = children(process.pid)
        assert len(workers) == 1 and not children(workers[0])
        process.kill()
    until = time.monotonic() + 10
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.01)
    kept = parquet(run)
    done = hf_toedit("run", run, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert 1 <= len(kept) < len(parquet(run)) == 9
    assert {name: parquet(run)[name] for name in kept} == kept
    assert hf_toedit("verify", run).stdout.startswith("Sound: 18 rows in 9 files agree")
