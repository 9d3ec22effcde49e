"""The GPU benchmark runs to its end without a GPU, to ensure that it does so with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_it_runs_through_on_a_cpu(tmp_path):
    done = run("--device", "cpu", "--size", "tiny", "--rounds", "1", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "gpu.json").read_text())
    assert 0.05 < facts["selected"] < 0.25
    for row in facts["columns"].values():
        assert "failed" not in row and row["tokens_per_second"] > 0
    assert sum(facts["stages_seconds"].values()) > 0
    assert "plain transformers" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_says_that_it_needs_a_gpu():
    done = run()
    assert done.returncode and "needs a CUDA GPU" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_check_runs_through_on_a_cpu(tmp_path):
    """Parts that fail are reported, and the other parts still run."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--output", str(tmp_path), "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOEDIT_PRIOR"}
    options = ("--size", "tiny", "--parts", "edit", "small", "budgets")
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["exit codes"] == {"edit": 1, "small": 0, "budgets-0": 0, "budgets-1": 0, "budgets-2": 0}, done.stdout
    assert done.returncode == 1 and "set HF_TOEDIT_PRIOR" in (tmp_path / "edit.log").read_text()
    assert list(json.loads((tmp_path / "budgets-1.json").read_text())["columns"]) == ["score, threads: 1"]
    assert report["packages"]["torch"] == torch.__version__
