"""The benchmark for a GPU runs to its end without one, so that it does so where there is one."""

from __future__ import annotations

import json
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
