"""Cost of judging a dataset: n-grams against the package of DSIR's authors, and memory as data grows.

    python benchmarks/judging.py --texts FILE.jsonl --out results/latest-judging.json
    python benchmarks/judging.py --megabytes 10 100 2000 --rows 10000000     # hours on a small machine

The columns of `ngrams` are interleaved, and timed in CPU seconds of this process: compare the ratios. Each line of
`memory` is the peak resident memory of a separate process: `hf-toedit compare` of the given megabytes against ten, and
`hf-toedit select --by dsir` of the given number of rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset

from hf_toedit import sample
from hf_toedit.features.ngrams import HashedNgrams

_ROW_BYTES = 2_000
_GROUP = 1_000


def main() -> None:
    """Measure, save the figures, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", help="JSON lines with a column `text`; the bundled sample otherwise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, nargs="*", default=[10, 100])
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    source = ("json", asked.texts) if asked.texts else ("parquet", str(sample.path()))
    texts = [text for text in load_dataset(source[0], data_files=source[1], split="train")["text"] if text]
    figures: dict[str, Any] = {"ngrams": ngrams(texts, asked.rounds), "memory": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures["memory"] += [compared(folder, texts, size) for size in asked.megabytes]
        figures["memory"] += [selected(folder, texts, rows) for rows in asked.rows]
    told = json.dumps(figures, indent=1)
    if asked.out:
        asked.out.write_text(told + "\n", encoding="utf-8")
    print(told)


def ngrams(texts: list[str], rounds: int) -> dict[str, Any]:
    """Return megabytes per CPU second of each way to count hashed unigrams and bigrams, and the ratios to ours."""
    columns: dict[str, Callable[[], object]] = {"hf-toedit": lambda: HashedNgrams().count(texts)}
    try:
        from data_selection.hashed_ngram_dsir import get_ngram_counts

        columns["data-selection"] = lambda: [get_ngram_counts(text) for text in texts]
    except ImportError:
        pass
    try:
        from sklearn.feature_extraction.text import HashingVectorizer

        columns["scikit-learn"] = lambda: HashingVectorizer(n_features=10_000, ngram_range=(1, 2)).transform(texts)
    except ImportError:
        pass
    seconds: dict[str, list[float]] = {name: [] for name in columns}
    for number in range(rounds):
        names = list(columns)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began = time.process_time()
            columns[name]()
            seconds[name].append(time.process_time() - began)
    size = sum(len(text.encode()) for text in texts) / 1e6
    return {
        name: {
            "mb_per_cpu_second": size / float(np.median(found)),
            "times_as_long": [float(np.min(ratio)), float(np.median(ratio)), float(np.max(ratio))],
        }
        for name, found in seconds.items()
        if len(ratio := np.array(found) / np.array(seconds["hf-toedit"]))
    }


def compared(folder: Path, texts: list[str], megabytes: int) -> dict[str, Any]:
    """Run `hf-toedit compare` of the given megabytes against ten."""
    paths = [_written(folder / f"{size}mb.parquet", texts, size * 1_000_000) for size in (10, megabytes)]
    return {
        "compare_mb": megabytes,
        **_run("compare", f"a={paths[0]}", f"b={paths[1]}", "-o", folder / f"r{megabytes}"),
    }


def selected(folder: Path, texts: list[str], rows: int) -> dict[str, Any]:
    """Run `hf-toedit select --by dsir` of one in eight of the given number of short rows."""
    short = [text[start : start + 100] for text in texts for start in range(0, len(text) - 100, 100)]
    path = _written(folder / f"{rows}rows.parquet", short, None, rows)
    target = _written(folder / "target.parquet", texts, 1_000_000)
    asked = ("--by", "dsir", "--target", target, "--rate", 0.125)
    return {"select_rows": rows, **_run("select", path, "-o", folder / f"s{rows}", *asked)}


def _run(*args: object) -> dict[str, float]:
    """Return peak memory, CPU and wall time of a command that runs in one separate process."""
    command = [sys.executable, "-m", "hf_toedit", *map(str, args), "--workers", "0", "-q"]
    code = (
        "import json, resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps([used.ru_maxrss, used.ru_utime + used.ru_stime]))"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, stdout=subprocess.PIPE, text=True)
    peak, cpu = json.loads(done.stdout)
    return {"peak_mb": peak / 1000, "cpu_s": cpu, "wall_s": time.monotonic() - began}


def _written(path: Path, texts: list[str], num_bytes: int | None, rows: int | None = None) -> Path:
    """Write repeated texts, in random order, as Parquet."""
    if path.exists():
        return path
    schema = pa.schema([("text", pa.string()), ("number", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for first, group in _groups(texts, num_bytes, rows):
            numbers = range(first, first + len(group))
            writer.write_table(pa.table({"text": group, "number": pa.array(numbers, pa.int64())}, schema=schema))
    return path


def _groups(texts: list[str], num_bytes: int | None, rows: int | None) -> Iterator[tuple[int, list[str]]]:
    rng = np.random.default_rng(0)
    first = written = 0
    while (num_bytes is None or written < num_bytes) and (rows is None or first < rows):
        size = _GROUP if rows is None else min(_GROUP, rows - first)
        group = [texts[place][:_ROW_BYTES] for place in rng.integers(len(texts), size=size)]
        yield first, group
        first, written = first + size, written + sum(len(text.encode()) for text in group)


if __name__ == "__main__":
    main()
