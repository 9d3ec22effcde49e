"""Speed of the editor relative to the floor and to alternatives, in one interleaved run.

Every round runs every column once, in rotated order, on the same documents; a ratio is computed within a round, so that
a machine that slows down affects all columns alike. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import corpus
import torch
import transformers
from columns import (
    BATCH,
    COMMAND,
    EDITOR,
    FLOOR,
    NAMES,
    PADDED,
    STARTUP,
    VLLM_FLAT,
    VLLM_SCRIPT,
    Column,
    Columns,
    forward,
)
from priors import SHAPES, SHARED, SMOLLM2, Measured, available
from report import speed_tables
from vllm_client import HEAD_SIZES, VllmClient

import hf_toedit
from hf_toedit import PriorConfig, load_prior
from hf_toedit.editing.alignment import Aligner

ROOT = Path(__file__).resolve().parents[1]
PRIORS = ("embedded", "stories260K", *SHAPES, SMOLLM2)
BATCHED_TOKENS = (2048, 8192)
"""Tokens per step to try with vLLM; the faster one is used."""

WARM_UP, TRIAL = 0.1, 0.25
"""Shares of the documents that every column reads before timing, and that settings are tried on."""

TOLERANCE = 0.001
"""Share of the selected tokens that may differ between columns, due to the order of float32 sums."""


def measure(columns: dict[str, Column], num_documents: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each column in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in columns}
    names = list(columns)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter()
            columns[name](num_documents)
            seconds[name].append(time.perf_counter() - began)
            print(f"  round {number + 1}: {name:26} {seconds[name][-1]:8.1f} s", flush=True)
    return seconds


def corpus_of(measured: Measured, seconds: float) -> list[str]:
    """Return documents that keep the floor busy for about the given number of seconds."""
    prior = load_prior(PriorConfig(measured.path))
    some = corpus.documents(prior.tokenizer, [300] * 10, SHARED, measured.stories)
    documents = Aligner(prior.tokenizer).align(some)
    forward(prior, documents, head=True)
    began = time.perf_counter()
    forward(prior, documents, head=True)
    rate = sum(map(len, documents)) / (time.perf_counter() - began)
    return corpus.documents(prior.tokenizer, corpus.lengths(int(rate * seconds)), SHARED, measured.stories)


def start_vllm(python: str, columns: Columns, log: Path) -> tuple[VllmClient, dict[str, Any]]:
    """Start vLLM with the faster number of tokens per step, and return the time of each number."""
    some = share(columns, TRIAL)
    clients = {
        batched: VllmClient(
            python,
            log,
            model=columns.measured.folder,
            context=columns.prior.context,
            max_num_batched_tokens=batched,
            bos=columns.bos,
            threshold=columns.measured.threshold,
            texts=columns.texts,
            ids=[document.ids.tolist() for document in columns.documents],
        )
        for batched in BATCHED_TOKENS
    }
    took: dict[int, list[float]] = {batched: [] for batched in BATCHED_TOKENS}
    for _ in range(3):
        for batched, client in clients.items():
            took[batched].append(client.read("flat", some)["seconds"])
    best = min(took, key=lambda batched: min(took[batched][1:]))
    for batched, client in clients.items():
        if batched != best:
            client.close()
    return clients[best], {
        "version": clients[best].version,
        "max_num_batched_tokens": best,
        "trial_seconds": took,
    }


def share(columns: Columns, part: float) -> int:
    """Return the number of documents in a share of them."""
    return max(int(len(columns.texts) * part), 1)


def check_selection(columns: Columns, vllm: VllmClient | None, with_padded: bool) -> dict[str, Any]:
    """Compare the editor's selection with that of other columns, on documents that fit into the prior's context.

    Longer ones are split into windows, which differ between the columns.
    """
    count = share(columns, TRIAL)
    found: dict[str, list[Any]] = {EDITOR: columns.selected(count)}
    if with_padded:
        found[PADDED] = columns.plain.read(count, BATCH)
    if vllm is not None:
        found[VLLM_FLAT] = vllm.read("flat", count, selected=True)["selected"]
        found[VLLM_SCRIPT] = vllm.read("script", count, selected=True)["selected"]
    facts: dict[str, Any] = {"num_selected": 0, "num_differing": dict.fromkeys(list(found)[1:], 0)}
    for index, document in enumerate(columns.documents[:count]):
        if len(document) > columns.prior.context - 3:
            continue
        eligible = {int(position) for position in document.eligible.nonzero()[0]}
        own = set(found[EDITOR][index].tolist())
        facts["num_selected"] += len(own)
        for name in facts["num_differing"]:
            facts["num_differing"][name] += len(own ^ (set(found[name][index]) & eligible))
    for name, differing in facts["num_differing"].items():
        if differing > max(1, TOLERANCE * facts["num_selected"]):
            raise SystemExit(f"{name} selects other tokens than {EDITOR}: {differing} of {facts['num_selected']}")
    return facts


def measure_prior(measured: Measured, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all columns on one prior."""
    texts = corpus_of(measured, options.seconds)
    measured = measured.with_threshold(texts)
    columns = Columns(measured, texts, folder, options.logits_gb * 1e9)
    print(f"{measured.name}: {len(texts)} documents, {columns.num_tokens:,} tokens", flush=True)
    facts: dict[str, Any] = {
        "num_documents": len(texts),
        "num_tokens": columns.num_tokens,
        "longest": max(map(len, columns.documents)),
        "context": columns.prior.context,
        "threshold": measured.threshold,
        "left_out": [],
    }
    vllm = None
    if any(name.startswith("vLLM") for name in options.columns):
        head_size = columns.prior._body.model.config.head_dim
        if not Path(options.vllm_python).is_file():
            facts["left_out"].append(f"vLLM: there is no {options.vllm_python}; name one with --vllm-python")
        elif head_size not in HEAD_SIZES:
            facts["left_out"].append(f"vLLM: it has no attention on CPUs for heads of {head_size}")
        else:
            vllm, facts["vllm"] = start_vllm(options.vllm_python, columns, options.output.with_suffix(".vllm.log"))
    try:
        chosen = {name: run for name, run in columns.by_name(vllm).items() if name in options.columns}
        facts["selection"] = check_selection(columns, vllm, PADDED in chosen)
        for name, run in chosen.items():
            if name not in (COMMAND, STARTUP):
                run(share(columns, WARM_UP))
        facts["seconds"] = measure(chosen, len(texts), options.rounds)
        facts["num_batches_split"] = columns.plain.num_split(BATCH) if PADDED in chosen else 0
    finally:
        if vllm is not None:
            vllm.close()
        columns.plain.close()
    return facts


def parsed() -> argparse.Namespace:
    """Parse the command line."""
    python = ROOT / ".venv-vllm" / "bin" / "python"
    stories, smollm2 = (SHARED / "models" / name for name in ("stories260K", "smollm2"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--priors", nargs="+", default=PRIORS, choices=PRIORS, metavar="PRIOR", help=", ".join(PRIORS))
    parser.add_argument("--columns", nargs="+", default=NAMES, choices=NAMES, metavar="COLUMN", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="that the floor takes in a round, about")
    parser.add_argument("--stories", type=Path, default=stories, help="folder of stories260K")
    parser.add_argument("--smollm2", type=Path, default=smollm2, help="folder of SmolLM2-135M")
    parser.add_argument("--vllm-python", default=str(python), help="a Python with vLLM for CPUs")
    parser.add_argument(
        "--logits-gb", type=float, default=8, help="that logits of a padded batch and its logarithm take"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "latest.json")
    options = parser.parse_args()
    if FLOOR not in options.columns:
        parser.error(f"--columns lacks the floor, {FLOOR!r}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    return options


def main() -> None:
    """Measure, print, and save the figures."""
    options = parsed()
    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "hf_toedit": hf_toedit.__version__,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "priors": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        priors, facts["left_out"] = available(options.priors, options.stories, options.smollm2, Path(scratch))
        for measured in priors:
            folder = Path(scratch, f"rows of {measured.name}")
            folder.mkdir()
            facts["priors"][measured.name] = measure_prior(measured, options, folder)
            options.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(speed_tables(facts))


if __name__ == "__main__":
    main()
