"""Does training on edited text make better models? The tables of the README and of docs/guides/probe.md.

    python benchmarks/training.py --prior FOLDER --work FOLDER --out results/training.json \\
        --human web=FILE:0:60 --human biomedical=FILE:0:100 --eval web=FILE:140:200 --eval books=FILE

All variants are made from the same human text by one prior: edited (`toedit`, `toedit` with rejected edits, `careful`,
and `careful` from a lower threshold, one and three generations), generated (continuations of the first 32 tokens of
each document, without these), and half of each. Then `hf_toedit.probe` trains models from scratch on each. Results are
kept in `--work`, and the same command continues with them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import hf_toedit

GENERATIONS = 3
EDITS: dict[str, dict[str, Any]] = {
    "toedit": {},
    "toedit --accept likelihood": {"accept": "likelihood"},
    "careful": {"preset": "careful"},
    "careful --threshold 0.9": {"preset": "careful", "threshold": 0.9},
}
"""Settings of `edit`, by name in the table."""


def main() -> None:
    """Make the variants, train on them, save the figures, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--human", action="append", required=True, metavar="NAME=FILE[:FROM:TO]")
    parser.add_argument("--eval", action="append", required=True, metavar="NAME=FILE[:FROM:TO]")
    parser.add_argument("--prior", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--generated", type=Path, help="a run of `hf-toedit generate` over the same human text")
    parser.add_argument("--max-new-tokens", type=int, default=1024)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--num-tokens", type=int, help="per model; by default as --max-epochs allows")
    parser.add_argument("--max-epochs", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, help="blocks per step")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()

    asked.work.mkdir(parents=True, exist_ok=True)
    human_texts = [text for part in asked.human for text in _texts(part)[1]]
    human = _written(asked.work / "human.parquet", human_texts)
    evals = {name: _written(asked.work / f"eval-{name}.parquet", texts) for name, texts in map(_texts, asked.eval)}
    variants, changed = {"source": human}, {"source": 0.0}
    for name, settings in EDITS.items():
        run = hf_toedit.edit(
            human, asked.work / _slug(name), prior=asked.prior, generations=GENERATIONS, num_shards=8, **settings
        )
        for generation in (1, GENERATIONS):
            label = f"{name}, generation {generation}"
            variants[label] = f"{run.path}:gen{generation}"
            changed[label] = 1 - run.stats(generation).num_tokens_unchanged / run.stats(1).num_tokens
        print(name, f"{changed[label]:.3%}", flush=True)
    variants |= _generated(human, asked)

    report = hf_toedit.probe(
        {_slug(name): source for name, source in variants.items()},
        evals,
        asked.work / "probe",
        model=asked.model,
        num_tokens=asked.num_tokens,
        max_epochs=asked.max_epochs,
        seeds=asked.seeds,
        batch_size=asked.batch_size,
    )
    figures = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "libraries": {name: version(name) for name in ("torch", "transformers")},
        "names": {_slug(name): name for name in variants},
        "changed": {_slug(name): share for name, share in changed.items()},
        "num_documents": len(human_texts),
        "generated_by": "a run that was given" if asked.generated else "transformers",
        **{name: value for name, value in report.items() if name != "losses"},
    }
    asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(table(figures))


def _generated(human: str, asked: argparse.Namespace) -> dict[str, str]:
    if asked.generated:
        run: hf_toedit.Run[Any] = hf_toedit.Run.open(asked.generated)
    else:
        folder = asked.work / "generated"
        run = hf_toedit.generate(human, folder, prior=asked.prior, max_new_tokens=asked.max_new_tokens)
    texts = [text for row in run.dataset()["train"]["candidates"] for text in row if text.strip()]
    synthetic = _written(asked.work / "synthetic.parquet", texts)
    half = hf_toedit.mix({"human": (human, 0.5), "synthetic": (synthetic, 0.5)}, asked.work / "half")
    return {"half generated": str(half.path), "all generated": synthetic}


def _texts(part: str) -> tuple[str, list[str]]:
    """Return the name and the rows of NAME=FILE[:FROM:TO]."""
    found = re.fullmatch(r"(.+?)=(.+?)(?::(\d+):(\d+))?", part)
    assert found, part
    name, file, first, last = found.groups()
    with open(file, encoding="utf-8") as lines:
        rows = [json.loads(line)["text"] for line in lines]
    return name, rows[int(first or 0) : int(last or len(rows))]


def _written(path: Path, texts: Sequence[str]) -> str:
    pq.write_table(pa.table({"text": texts}), path)
    return str(path)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name)


def table(figures: Mapping[str, Any], is_shown: Callable[[str], bool] = lambda name: True) -> str:
    """Return a Markdown table with a row per variant, and its difference from the source at each learning rate."""
    rates = [f"{rate:g}" for rate in figures["training"]["learning_rates"]]
    lines = [
        "| Trained on | Tokens changed | " + " | ".join(f"Perplexity at {rate}" for rate in rates) + " | Verdict |",
        "|---|---:|" + "---|" * len(rates) + "---|",
    ]
    for slug, name in figures["names"].items():
        if not is_shown(name):
            continue
        share = figures["changed"].get(slug)
        cells = [name, "" if share is None else f"{share:.2%}"]
        compared = figures["comparisons"].get(slug)
        for rate in rates:
            perplexity = figures["perplexity"][slug][rate]["all"]["value"]
            cells.append(f"{perplexity:.2f}{_difference(compared and compared['differences'][rate]['all'])}")
        lines.append("| " + " | ".join([*cells, compared["verdict"] if compared else ""]) + " |")
    return "\n".join(lines)


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    value, low, high = (f"{100 * math.expm1(found[name]):+.1f}" for name in ("value", "low", "high"))
    return f" ({value} %, {low} to {high})"


def is_short(name: str) -> bool:
    """Whether a variant is in the README's table: those of the first generation are in the documentation only."""
    return not name.endswith("generation 1")


if __name__ == "__main__":
    main()
