"""The engine benchmark measures overhead with the real command; the size of the overhead is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_measures_an_engine(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    tiny = ["--engines", "inline", "--shards", "3", "--rounds", "1", "--output", str(figures)]
    run = [sys.executable, str(BENCHMARKS / "engines.py"), *tiny]
    printed = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    facts = json.loads(figures.read_text())
    assert list(facts["engines"]) == ["inline"] and facts["left_out"] == []
    assert all(len(values) == 1 for values in facts["engines"]["inline"].values())
    assert "| inline |" in printed


def test_overhead_is_held_against_the_local_engine_in_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from report import engine_tables

    def row(*overheads: float) -> dict[str, list[float]]:
        same = {name: [10.0, 10.0] for name in ("startup_seconds", "run_seconds", "work_seconds", "driver_mb")}
        return same | {"overhead_ms": list(overheads)}

    facts = {"cores": 2, "machine": "m", "num_shards": 1000, "rounds": 2, "left_out": ["ray: it does not run here"]}
    table = engine_tables(facts | {"engines": {"local": row(4, 8), "inline": row(2, 6)}})
    assert "| 4.0 (2.0 to 6.0) | 0.62 (0.50 to 0.75) |" in table
    assert table.endswith("Left out: ray: it does not run here.")
