"""Overhead per shard of each engine, relative to the local one.

The real command on shards of one short row; see benchmarks/README.md. If Ray is installed, it runs on the cluster in
`RAY_ADDRESS`, or else on that of this machine, which is started if necessary.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from command import Measured, command, work_seconds
from report import engine_tables

ENGINES = {
    "local": ("--workers", "1"),
    "inline": ("--workers", "0"),
    "ray": ("--engine", "ray", "--num-workers", "1"),
}
"""Arguments of `hf-toedit run` for each engine."""


def measure(folder: Path, engines: list[str], num_shards: int, rounds: int) -> dict[str, Any]:
    """Measure start-up, whole run, and work in it, in seconds, and the driver's memory, by engine and round.

    Start-up is a run of one row, minus the work on it. An engine that cannot run it is left out.
    """
    rows = folder / "rows.parquet"
    pq.write_table(pa.table({"text": [f"Row {row:06d} is short." for row in range(num_shards)]}), rows)
    one, many = folder / "one", folder / "many"
    command("plan", rows, "-o", one, "--limit", "1", "--quiet")
    command("plan", rows, "-o", many, "--num-shards", num_shards, "--quiet")
    table: dict[str, dict[str, list[float]]] = {engine: defaultdict(list) for engine in engines}
    left_out = []
    for number in range(rounds):
        for engine in list(table)[:: 1 if number % 2 == 0 else -1]:
            try:
                startup, work_on_one = run(one, engine)
            except SystemExit:  # the command has printed why
                if number > 0:
                    raise
                left_out.append(f"{engine}: `hf-toedit run {' '.join(ENGINES[engine])}` does not run here")
                del table[engine]
                continue
            whole, work = run(many, engine)
            figures = {"startup_seconds": startup.seconds - work_on_one, "run_seconds": whole.seconds}
            figures |= {"work_seconds": work, "driver_mb": whole.command_mb}
            beyond = figures["run_seconds"] - figures["startup_seconds"] - work
            for name, figure in (figures | {"overhead_ms": 1000 * beyond / num_shards}).items():
                table[engine][name].append(figure)
    return {"num_shards": num_shards, "rounds": rounds, "engines": table, "left_out": left_out}


def run(planned: Path, engine: str) -> tuple[Measured, float]:
    """Run a copy of a planned run; return the measured command, and the seconds of work in it."""
    with tempfile.TemporaryDirectory(dir=planned.parent) as scratch:
        copy = shutil.copytree(planned, Path(scratch, planned.name))
        return command("run", copy, *ENGINES[engine], "--quiet"), work_seconds(copy)


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Provide a Ray cluster: the one that runs on this machine, or one that ends with the script."""
    import ray

    cluster = ray.init(include_dashboard=False, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = cluster.address_info["address"]
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()


def main() -> None:
    """Measure, print, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES, help=", ".join(ENGINES))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "latest-engines.json")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as cluster:
        if "ray" in options.engines and "RAY_ADDRESS" not in os.environ and find_spec("ray"):
            cluster.enter_context(ray_cluster())
        facts |= measure(Path(scratch), options.engines, options.shards, options.rounds)
    options.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(engine_tables(facts))


if __name__ == "__main__":
    main()
