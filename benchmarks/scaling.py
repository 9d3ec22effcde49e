"""Scaling of a run: memory with the size of the source, time with the number of shards, files and workers.

Every figure is from the real command in separate processes, on sources created for it in a temporary folder. See
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from command import MB, command, work_seconds
from datasets import Dataset, Features, Value, disable_progress_bars
from growth import measure_document_memory, measure_growth, measure_lengths, measure_vocabulary_memory
from report import growth_tables

from hf_toedit import sample
from hf_toedit.runs.store import PLAN, RunFolder

ROW_BYTES = 10**6 * 10 // 3
"""Size of a row of the memory sources: a short text and an image of 3.3 MB, so that ten rows are 33 MB."""

GROUP_ROWS = 100
"""Rows per row group: 333 MB, as `datasets` writes images. pyarrow writes it as one page, and reads it whole."""


def heavy_tables(num_bytes: float) -> Iterator[pa.Table]:
    """Yield tables of one row group, with little text and much incompressible data."""
    random = np.random.default_rng(0)
    num_rows = int(num_bytes / ROW_BYTES)
    for start in range(0, num_rows, GROUP_ROWS):
        rows = range(start, min(start + GROUP_ROWS, num_rows))
        texts = [f"Row {row} tells of a cat that sat on a mat, and of a dog that ran after it." for row in rows]
        yield pa.table({"text": texts, "image": [random.bytes(ROW_BYTES) for _ in rows]})


def write_parquet(path: Path, num_bytes: float) -> None:
    schema = pa.schema({"text": pa.string(), "image": pa.binary()})
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for table in heavy_tables(num_bytes):
            writer.write_table(table, row_group_size=GROUP_ROWS)


def write_saved(path: Path, num_bytes: float) -> None:
    def rows() -> Iterator[dict[str, object]]:
        for table in heavy_tables(num_bytes):
            yield from table.to_pylist()

    disable_progress_bars()
    features = Features({"text": Value("string"), "image": Value("binary")})
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        Dataset.from_generator(rows, features=features, cache_dir=cache, writer_batch_size=10).save_to_disk(path)


def write_jsonl(path: Path, num_bytes: float) -> None:
    """Write rows of the same size, as hexadecimal digits, because JSON has no bytes."""
    with path.open("w", encoding="utf-8") as stream:
        for table in heavy_tables(num_bytes):
            for row in table.to_pylist():
                stream.write(json.dumps({"text": row["text"], "image": row["image"][: ROW_BYTES // 2].hex()}) + "\n")


def measure_memory(folder: Path, gigabytes: list[float]) -> dict[str, dict[str, float]]:
    """Measure peak memory by source, and its excess over the prior's memory for a source of one row."""
    sources = {f"Parquet {size:g} GB": (write_parquet, size, "heavy.parquet") for size in gigabytes}
    sources |= {"save_to_disk 1 GB": (write_saved, 1, "saved"), "JSON lines 1 GB": (write_jsonl, 1, "heavy.jsonl")}
    table: dict[str, dict[str, float]] = {}
    for name, (write, size, file) in {"one row": (write_parquet, ROW_BYTES / 1e9, "one.parquet"), **sources}.items():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            write(Path(scratch, file), size * 1e9)
            peak = command("edit", Path(scratch, file), "-o", Path(scratch, "run"), "--quiet")
        prior_mb = table["one row"]["worker_mb"] if table else peak.worker_mb
        table[name] = asdict(peak) | {"over_prior_mb": peak.worker_mb - prior_mb}
    return table


def tiny_files(folder: Path, count: int, ending: str) -> Path:
    """Write `count` files of one short row each."""
    folder.mkdir()
    text = "The cat sat on the mat."
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [text]}), sink)
    parquet, line = sink.getvalue().to_pybytes(), json.dumps({"text": text}).encode()
    content = parquet if ending == ".parquet" else line
    for number in range(count):
        (folder / f"{number:06d}{ending}").write_bytes(content)
    return folder


def measure_shards(folder: Path, count: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Measure the time per shard besides its work and start-up, with shards of one short row; by round."""
    rows = folder / "rows.parquet"
    pq.write_table(pa.table({"text": [f"Row {row:06d} is short." for row in range(count)]}), rows)
    sources = {"rows of one Parquet file": rows, "JSON lines files": tiny_files(folder / "jsonl", count, ".jsonl")}
    names = ("plan_seconds", "run_seconds", "startup_seconds", "work_seconds", "overhead_ms")
    table: dict[str, dict[str, list[float]]] = {source: {name: [] for name in names} for source in sources}
    for _ in range(rounds):
        for name, source in sources.items():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                one, run = Path(scratch, "one"), Path(scratch, "run")
                command("plan", source, "-o", one, "--limit", "1", "--quiet")
                startup = command("run", one, "--quiet").seconds - work_seconds(one)
                planned = command("plan", source, "-o", run, "--num-shards", count, "--quiet").seconds
                whole = command("run", run, "--quiet").seconds
                assert len(RunFolder(run).plan().shards) == count
                work = work_seconds(run)
            figures = (planned, whole, startup, work, 1000 * (whole - startup - work) / count)
            for figure, value in zip(names, figures, strict=True):
                table[name][figure].append(value)
    return table


def measure_workers(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Measure the seconds of a run with one worker, which uses all cores, and with two, which share them; by round."""
    source = folder / "sample.parquet"
    texts = pq.read_table(sample.path()).select(["text"])
    pq.write_table(pa.concat_tables([texts] * 2), source)
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    for number in range(rounds):
        for workers in sorted(seconds, reverse=number % 2 == 1):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                command("plan", source, "-o", scratch, "--num-shards", 16, "--quiet")
                took = command("run", scratch, "--workers", workers, "--quiet", threads=None).seconds
            seconds[workers].append(took)
    return seconds


def measure_planning(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Measure the time to plan many files, the size of the plan, and the time to read it and to get the status."""
    table = {}
    for ending in (".parquet", ".jsonl"):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, run = tiny_files(Path(scratch, "files"), count, ending), Path(scratch, "run")
            planned = command("plan", source, "-o", run, "--quiet").seconds
            began = time.perf_counter()
            RunFolder(run).plan()
            loaded = time.perf_counter() - began
            table[ending] = {
                "plan_seconds": planned,
                "plan_mb": (run / PLAN).stat().st_size / MB,
                "load_seconds": loaded,
                "status_seconds": command("status", run, "--json").seconds,
            }
    return table


def parts(folder: Path, large: bool, rounds: int) -> dict[str, Callable[[], Any]]:
    """Return the measurements, by name."""
    few = 1 if large else rounds
    num_shards, num_files = (10_000, 100_000) if large else (300, 10_000)
    most = 10**7 if large else 10**6
    sizes = [10**power for power in range(4, 8) if 10**power <= most]
    cuts = [1, 100, 10_000] if large else [1, 30, 1000]
    lengths = [100, 1000, 5000, 20_000, *([60_000] if large else [])]
    documents = [1000, 10_000, 100_000, *([1_000_000] if large else [])]
    return {
        "memory": lambda: measure_memory(folder, [0.1, 1, 10] if large else [0.1, 1]),
        "document_memory": lambda: measure_document_memory(folder, documents),
        "vocabulary_memory": lambda: measure_vocabulary_memory(folder, [8192, 65_536, 262_144], [1, 30, 1000]),
        "tokens": lambda: measure_growth(folder, [(size, 1) for size in sizes], few),
        "cuts": lambda: measure_growth(folder, [(most, cut) for cut in cuts], few),
        "lengths": lambda: measure_lengths(folder, lengths, lengths[-1], few),
        "shards": lambda: {"count": num_shards, "sources": measure_shards(folder, num_shards, few)},
        "workers": lambda: measure_workers(folder, rounds),
        "planning": lambda: {"count": num_files, "endings": measure_planning(folder, num_files)},
    }


def main() -> None:
    """Measure, print, and save the figures."""
    names = list(parts(Path(), False, 1))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="10 GB, 10^7 tokens, 10,000 shards, 100,000 files; hours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=names, choices=names, metavar="PART", help=", ".join(names))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "latest-scaling.json")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as scratch:
        every = parts(Path(scratch), options.large, options.rounds)
        for name in options.parts:
            print(f"{name} …", flush=True)
            facts[name] = every[name]()
            options.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(growth_tables(facts))


if __name__ == "__main__":
    main()
