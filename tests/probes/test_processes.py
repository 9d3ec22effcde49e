"""Several processes train one model together, to the weights of a single process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hf_toedit.api.probe import probe
from hf_toedit.errors import UsageError
from hf_toedit.probes.processes import blocks_per_process
from tests.probes.small import SETTINGS, config_file, shuffled, stories, write


def figures(entry: Any) -> Any:
    """Return the numbers of a report, in order."""
    if isinstance(entry, dict | list):
        parts = entry.values() if isinstance(entry, dict) else entry
        return [number for part in parts for number in figures(part)]
    return [entry] if isinstance(entry, int | float) else []


def launched(*args: object) -> subprocess.CompletedProcess[str]:
    """Run `hf-toedit probe` in two processes, as `accelerate launch` does with two GPUs."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "hf_toedit", "probe", *map(str, args)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_TOEDIT_CHECKPOINT_S": "0"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_two_processes(tmp_path: Path) -> None:
    """Each step has the same blocks; one process reports, writes, and decides when a checkpoint is due."""
    found = stories(60)
    sources = {"a": write(tmp_path / "a.jsonl", found[20:]), "b": write(tmp_path / "b.jsonl", shuffled(found[20:]))}
    held_out = write(tmp_path / "held-out.jsonl", found[:20])
    model = config_file(tmp_path)
    report = tmp_path / "report"
    asked = "a={a}", "b={b}", "--eval", f"held-out={held_out}", "--model", model, "--seeds", 2, "--learning-rate", 0.03
    args = *(str(arg).format(**sources) for arg in asked), "--context", 64, "--device", "cpu", "--batch-size", 8
    done = launched(*args, "--tokens", "2k", "-o", report)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("b: ") == done.stdout.count("Report: ") == 1
    settings = {**SETTINGS, "model": model, "seeds": 2, "num_tokens": 2000, "progress": False}
    alone = probe(sources, {"held-out": held_out}, tmp_path / "alone", **settings)
    together = json.loads((report / "report.json").read_bytes())
    for part in ("perplexity", "losses", "training"):
        assert figures(together[part]) == pytest.approx(figures(alone[part]), rel=1e-4)
    assert not list(report.rglob("checkpoint-*"))


def test_a_step_that_cannot_be_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert blocks_per_process(7) == 7  # no launcher set it
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert blocks_per_process(8) == 4
    with pytest.raises(UsageError, match="2 processes cannot divide a step of 7 blocks equally. Set --batch-size to a"):
        blocks_per_process(7)
