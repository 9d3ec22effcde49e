"""Effects of presets on real texts with a real prior, by kind of place: the tables of the documentation.

    python benchmarks/presets.py --prior FOLDER --out results/presets.json web=FILE:200 chat=FILE:50

Each text is edited for three generations with each preset, and the last one is scored once more. With `--dictionary`,
words outside the dictionary that the source does not contain are counted in the edited texts.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import hf_toedit
from hf_toedit.place_kinds import KINDS

GENERATIONS = 3


def main() -> None:
    """Measure, save the figures, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", metavar="NAME=FILE:ROWS")
    parser.add_argument("--prior", required=True)
    parser.add_argument("--presets", nargs="+", default=["toedit", "careful"])
    parser.add_argument("--dictionary", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    known = asked.dictionary and set(asked.dictionary.read_text(encoding="utf-8").split())
    figures: dict[str, Any] = {}
    for text in asked.texts:
        name, file, rows = re.fullmatch(r"(.+?)=(.+):(\d+)", text).groups()  # type: ignore[union-attr]
        for preset in asked.presets:
            with tempfile.TemporaryDirectory() as folder:
                run = hf_toedit.edit(
                    file,
                    folder,
                    prior=asked.prior,
                    preset=preset,
                    limit=int(rows),
                    generations=GENERATIONS,
                    score_result=True,
                    workers=0,
                    progress=False,
                )
                figures.setdefault(name, {})[preset] = _figures(run, known)
        asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(table(figures))


def _figures(run: hf_toedit.Run[Any], known: set[str] | None) -> dict[str, Any]:
    generations = [run.stats(f"gen{number}") for number in range(1, GENERATIONS + 1)]
    last = run.dataset(GENERATIONS)["train"]
    source = hf_toedit.revert(last)
    return {
        "generations": [stats.to_json() for stats in generations],
        "perplexity_before": generations[0].perplexity,
        "perplexity_after": run.stats("result").perplexity,
        "new_words": None if known is None else _new_words(source["text"], last["text"], known),
    }


def _new_words(before: list[str], after: list[str], known: set[str]) -> dict[str, int]:
    """Return the words of the edited texts that are not in the dictionary, minus those that were in the source."""
    made: Counter[str] = Counter()
    for source, edited in zip(before, after, strict=True):
        made += _unknown(edited, known) - _unknown(source, known)
    return dict(made.most_common())


def _unknown(text: str, known: set[str]) -> Counter[str]:
    words = re.findall(r"(?<![\w'’])[A-Za-z]+(?:['’][A-Za-z]+)*(?![\w'’])", text)
    return Counter(word for word in words if word.replace("’", "'") not in known and word.lower() not in known)


def table(figures: dict[str, Any]) -> str:
    """Return a Markdown table with a row per text and preset."""
    lines = [
        "| Text | Preset | Tokens | Selected % | Changed | Changed places by kind | New non-words | Perplexity |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for name, presets in figures.items():
        for preset, entry in presets.items():
            counts = entry["generations"]
            kinds: Counter[str] = Counter()
            for stats in counts:
                kinds.update(stats["num_changed_by_kind"])
            selected = " · ".join(f"{100 * stats['num_selected'] / stats['num_tokens']:.2f}" for stats in counts)
            changed = " · ".join(f"{stats['num_changed']:,}" for stats in counts)
            places = ", ".join(f"{KINDS[kind]} {count}" for kind, count in kinds.most_common())
            words = "" if entry["new_words"] is None else str(sum(entry["new_words"].values()))
            perplexity = f"{entry['perplexity_before']:.2f} → {entry['perplexity_after']:.2f}"
            lines.append(
                f"| {name} | `{preset}` | {counts[0]['num_tokens']:,} | {selected} | {changed} | {places} | {words} | "
                f"{perplexity} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
