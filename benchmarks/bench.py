"""How far the editor is from the floor: tokens/s of each stage, in one interleaved run.

Every round runs every column once, in rotated order, on the same documents; a ratio is taken within a round, so that
a machine that slows down slows all columns alike. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import torch

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior, sample
from hf_toedit.editing.alignment import Aligner, Document
from hf_toedit.priors.attention import PackedAttention

FLOOR = "forward + head"


def forward(prior, documents: list[Document], head: bool) -> None:
    """The body on every pack, without attention to what comes out; with `head`, one float32 product on top."""
    attention = PackedAttention()
    with torch.inference_mode():
        for pack in prior._packs(documents):
            hidden = prior._forward(pack, documents, attention)
            if head:
                for rows in hidden.split(prior._head._chunk_rows):
                    prior._head._chunk(rows)


def command(arguments: list[str]) -> None:
    """The command line, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-m", "hf_toedit", "edit", *arguments, "-o", f"{folder}/run", "--quiet"]
        subprocess.run(run, check=True)


def measure(columns: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each column in each round; one round to warm up is thrown away."""
    seconds: dict[str, list[float]] = {name: [] for name in columns}
    names = list(columns)
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter()
            columns[name]()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def report(seconds: dict[str, list[float]], num_tokens: int) -> dict[str, dict[str, float]]:
    """Median tokens/s, and each column's time over the floor's: median and range over the rounds."""
    table = {}
    for name, times in seconds.items():
        ratios = [mine / floor for mine, floor in zip(times, seconds[FLOOR], strict=True)]
        table[name] = {
            "tokens_per_second": num_tokens / statistics.median(times),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="embedded")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "latest.json")
    options = parser.parse_args()

    texts = [text for text in pq.read_table(sample.path()).column("text").to_pylist() if text]
    prior = load_prior(PriorConfig(options.prior))
    editor = ToEditor(prior, EditConfig())
    documents = Aligner(prior.tokenizer).align(texts)
    num_tokens = sum(map(len, documents))
    columns = {
        "forward": lambda: forward(prior, documents, head=False),
        FLOOR: lambda: forward(prior, documents, head=True),
        "editor": lambda: editor.edit(texts) and None,
        "edit command": lambda: command(["sample", "--prior", options.prior]),
    }
    table = report(measure(columns, options.rounds), num_tokens)

    print(f"{len(documents)} documents, {num_tokens:,} tokens, prior {options.prior}, {options.rounds} rounds")
    print(f"{'':16} {'tokens/s':>10} {'time / floor':>14}   range")
    for name, row in table.items():
        print(
            f"{name:16} {row['tokens_per_second']:10,.0f} {row['ratio']:14.2f}   "
            f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        )
    facts = {
        "prior": options.prior,
        "num_documents": len(documents),
        "num_tokens": num_tokens,
        "rounds": options.rounds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "columns": table,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
