"""Cost of driving 100,000 shards on 1,000 workers, and the utilization of these; the workers are simulated.

Everything else is real: the driver is a separate process that calls the code of `hf-toedit run`, and is killed and
restarted; this process writes the shards, through the store. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import tempfile
import time
from collections import Counter
from dataclasses import asdict, fields
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from command import MB, command, peak_mb
from report import simulation_tables
from simulated import GENERATION, Life, SimulatedEngine, World, row_stats

from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.shard import source_rows
from hf_toedit.runs.store import PLAN, RunFolder
from hf_toedit.runs.writer import Writer
from hf_toedit.stats import EditStats

BEATS = 3
BEAT_EVERY_S = 1.1
"""The monitor writes its file at most once per second."""


def drive(world: World, life: Life, run: Path, pipe: Connection) -> None:
    """Run a driver in its own process: do what `hf-toedit run` does, and send its figures through the pipe."""
    from hf_toedit.api.run import Run
    from hf_toedit.runs.status import run_status
    from hf_toedit.runs.work import waiting

    figures: dict[str, Any] = {"imports_mb": peak_mb(os.getpid()), "cpu_seconds": 0.0}
    clock, cpu_clock = time.perf_counter(), time.process_time()

    def lap(name: str) -> None:
        nonlocal clock, cpu_clock
        figures[f"{name}_seconds"] = time.perf_counter() - clock
        if name != "work":  # most of it is the simulation's own; the engine reports the rest
            figures["cpu_seconds"] += time.process_time() - cpu_clock
        clock, cpu_clock = time.perf_counter(), time.process_time()

    def written(index: int) -> None:
        pipe.send(index)
        pipe.recv()

    def report(engine: SimulatedEngine, **more: Any) -> None:
        names = ("seconds", "longest", "calls", "counts", "busy", "lost")
        worked = {name: getattr(engine, name) for name in names}
        worked["cpu_seconds"] = figures["cpu_seconds"] + engine.cpu_seconds
        pipe.send(figures | worked | {"ended": engine.now, "peak_mb": peak_mb(os.getpid())} | more)

    def die(engine: SimulatedEngine) -> None:
        report(engine, killed=True)
        os.kill(os.getpid(), signal.SIGKILL)

    folder = RunFolder(run)
    plan = folder.plan()
    lap("plan")
    figures["plan_mb"] = peak_mb(os.getpid())
    indices = waiting(plan, folder)
    lap("waiting")
    figures["num_waiting"] = len(indices)
    folder.sweep()
    lap("sweep")
    engine = SimulatedEngine(world, life, written, die)
    failures = Run(folder, plan).work(engine, indices, progress=False)
    lap("work")
    run_status(plan, folder)
    lap("status")
    if not failures:
        Run(folder, plan).close()
        lap("finish")
    report(engine, killed=False, num_failed=len(failures))


def beat_seconds(plan: Plan, folder: RunFolder, num_workers: int) -> list[float]:
    """Return the time that the monitor takes to write the state of the workers, as it does every second."""
    seconds = []
    with Monitor(plan, folder) as monitor:
        for number in range(num_workers):
            monitor.began(number, number % len(plan.shards))
        for _ in range(BEATS):
            time.sleep(BEAT_EVERY_S)
            began = time.perf_counter()
            monitor.beat()
            seconds.append(time.perf_counter() - began)
    return seconds


class WorkerSide:
    """Writes shards like `run_shard`, but without a prior: the rows of the source are unchanged.

    Attributes:
        num_written: Number of times that each shard was written, by its index in the plan.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Read the plan.

        Args:
            folder: The run folder.
        """
        self.num_written: Counter[int] = Counter()
        self._folder = folder
        self._plan = folder.plan()
        self._stats = row_stats()

    def serve(self, pipe: Connection) -> dict[str, Any]:
        """Write the shards that a driver names, until it sends its figures."""
        while not isinstance(said := pipe.recv(), dict):
            self.write(said)
            pipe.send(None)
        return said

    def write(self, index: int) -> None:
        """Write a shard, unless it exists."""
        shard = self._plan.shards[index]
        if self._folder.stats(self._plan, GENERATION, shard) is not None:
            return

        def fill(writer: Writer) -> EditStats:
            for table in source_rows(self._plan, shard):
                writer.write(table)
            return EditStats.merged([self._stats] * (shard.num_rows or 0))

        self._folder.write_shard(self._plan, GENERATION, shard, fill)
        self.num_written[index] += 1

    def problems(self, num_rows: int) -> list[str]:
        """Return the problems: shards not written exactly once, or rows that differ from the source, in order."""
        wrong = [shard.name for index, shard in enumerate(self._plan.shards) if self.num_written[index] != 1]
        if wrong:
            return [f"{len(wrong)} shards were not written once, {wrong[0]} among them"]
        found, start = [], 0
        for shard in self._plan.shards:
            stop = start + (shard.num_rows or 0)
            tables = self._folder.tables(self._plan, GENERATION, shard)
            texts = [row for table in tables for row in table["text"].to_pylist()]
            if texts != [text(row) for row in range(start, stop)]:
                found.append(f"{shard.name} holds other rows than the source")
            start = stop
        return found + ([] if start == num_rows else [f"there are {start:,} rows instead of {num_rows:,}"])


def text(row: int) -> str:
    """Return the text of a row of the source."""
    return f"Row {row:07d} is short."


def simulate(world: World, scratch: Path) -> dict[str, Any]:
    """Plan a run, drive it to its end, check the result, and return its figures.

    Raises:
        SystemExit: The result is wrong.
    """
    source, run = scratch / "rows.parquet", scratch / "run"
    rows = range(world.num_shards * world.rows_a_shard)
    pq.write_table(pa.table({"text": [text(row) for row in rows]}), source, row_group_size=1000)
    planned = command("plan", source, "-o", run, "--num-shards", world.num_shards, "--no-edit-log", "--quiet")
    folder = RunFolder(run)
    workers = WorkerSide(folder)
    lives = drivers(world, workers, run)
    plan = folder.plan()
    began = time.perf_counter()
    folder.replan(plan)
    rewritten = time.perf_counter() - began
    if problems := workers.problems(len(rows)):
        raise SystemExit("\n".join(problems))
    return {
        "world": asdict(world) | {"ideal": world.ideal},
        "plan": {
            "seconds": planned.seconds,
            "mb": planned.command_mb,
            "file_mb": (run / PLAN).stat().st_size / MB,
            "write_seconds": rewritten,
        },
        "beat_seconds": beat_seconds(plan, folder, world.num_workers),
        "drivers": lives,
    }


def drivers(world: World, workers: WorkerSide, run: Path) -> list[dict[str, Any]]:
    """Run one driver after the other, until nothing is left to do, and return their figures."""
    spawn = multiprocessing.get_context("spawn")
    kills = [*world.kills(), inf]
    lives: list[dict[str, Any]] = []
    began = 0.0
    while not lives or lives[-1]["killed"] or lives[-1]["num_failed"]:
        life = Life(len(lives) + 1, began, next(kill for kill in kills if kill > began))
        pipe, end = spawn.Pipe()
        process = spawn.Process(target=drive, args=(world, life, run, end))
        process.start()
        end.close()
        before = len(workers.num_written)
        lives.append({"began": began, **workers.serve(pipe), "num_written": len(workers.num_written) - before})
        process.join()
        began = lives[-1]["ended"] + world.down
        print(f"driver {life.number}: {lives[-1]['num_waiting']:,} shards to do …", flush=True)
    return lives


def main() -> None:
    """Simulate, print, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for entry in fields(World):
        option = f"--{entry.name.replace('_', '-')}"
        parser.add_argument(option, type=type(entry.default), default=entry.default, metavar="N", help="%(default)s")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "latest-simulation.json")
    options = vars(parser.parse_args())
    output = options.pop("output")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        facts = {"machine": platform.machine(), "cores": os.cpu_count()} | simulate(World(**options), Path(scratch))
    output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(simulation_tables(facts))


if __name__ == "__main__":
    main()
