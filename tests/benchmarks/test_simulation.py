"""The simulation finishes a run despite deaths of workers and drivers, is deterministic, and checks its own result."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.runs.monitor import Monitor, failures
from hf_toedit.runs.planning import make_plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.model import FileExtent, Reading, SourceFile
from hf_toedit.tasks.edit import EditTask, generation_pass

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NUM_ROWS = 60


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return a planned run of 30 shards with two rows each."""
    from simulation import text

    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [text(row) for row in range(NUM_ROWS)]}), source)
    stat = source.stat()
    file = SourceFile(source.name, stat.st_size, stat.st_mtime_ns)
    plan = make_plan(
        source_config=SourceConfig(str(source)),
        source_revision="none",
        reading=Reading("parquet", {}, str(tmp_path), {"text": {"dtype": "string", "_type": "Value"}}),
        extents={"train": [FileExtent(file, NUM_ROWS, 10 * NUM_ROWS)]},
        task=EditTask(PriorConfig("embedded"), EditConfig(), RunConfig(edit_log_column=None), "none"),
        version="0.1.0",
        num_shards=30,
    )
    folder = RunFolder(tmp_path / "run")
    folder.open(plan)
    return folder


def simulate(folder: RunFolder, written: Callable[[int], None], **world: Any) -> Any:
    """Simulate a run, and return the engine."""
    from simulated import Life, SimulatedEngine, World

    plan = folder.plan()
    engine = SimulatedEngine(World(num_workers=4, **world), Life(1, 0.0, math.inf), written, lambda engine: None)
    with Monitor(plan, folder) as monitor:
        engine.run(plan, folder, range(len(plan.shards)), monitor)
    return engine


def test_drivers_are_killed_and_the_next_goes_on(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    small = ["--num-shards", "150", "--num-workers", "12", "--rows-a-shard", "3", "--mean-life", "200"]
    run = [sys.executable, str(BENCHMARKS / "simulation.py"), *small, "--num-kills", "2", "--output", str(figures)]
    printed = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    drivers = json.loads(figures.read_text())["drivers"]
    assert [driver["killed"] for driver in drivers[:3]] == [True, True, False]
    left = 150
    for driver in drivers:
        assert driver["num_waiting"] == left
        left -= driver["num_written"]
    assert left == drivers[-1]["num_failed"] == 0
    assert f"| {len(drivers)}, finished after" in printed
    deaths = sum(driver["counts"]["deaths"] for driver in drivers)
    assert deaths > 0 and f"| workers that died | {deaths:,} |" in printed


def test_the_same_seed_is_the_same_story(folder: RunFolder) -> None:
    stories = []
    for seed in (1, 1, 2):
        written: list[int] = []
        engine = simulate(folder, written.append, mean_life=500.0, seed=seed)
        stories.append((written, engine.now, engine.busy, engine.lost, engine.counts))
    assert stories[0] == stories[1] != stories[2]


def test_every_shard_is_done_or_given_up(folder: RunFolder) -> None:
    written: Counter[int] = Counter()
    engine = simulate(folder, lambda index: written.update([index]), mean_life=40.0, unsaid=0.0)
    plan = folder.plan()
    given_up = {failure.shard for failure in failures(folder)}
    assert given_up == {shard.name for index, shard in enumerate(plan.shards) if not written[index]} != set()
    assert set(written.values()) == {1}
    assert engine.counts["attempts"] == engine.counts["deaths"] + engine.calls["done"]
    assert engine.counts["deaths"] == engine.calls["died"] + engine.calls["lost"]
    assert engine.counts["machines"] == engine.calls["lost"] > 0


def test_it_looks_at_what_was_written(folder: RunFolder) -> None:
    from simulation import WorkerSide

    workers = WorkerSide(folder)
    shards = folder.plan().shards
    for index in [*range(29), 3]:  # the second write finds the shard already there
        workers.write(index)
    assert workers.problems(NUM_ROWS) == [f"1 shards were not written once, {shards[29].name} among them"]
    workers.write(29)
    assert workers.problems(NUM_ROWS) == []
    assert workers.problems(NUM_ROWS + 1) == ["there are 60 rows instead of 61"]
    first, second = (folder.data_path(generation_pass(1), shard) for shard in shards[4:6])
    first.write_bytes(second.read_bytes())
    assert workers.problems(NUM_ROWS) == [f"{shards[4].name} holds other rows than the source"]
