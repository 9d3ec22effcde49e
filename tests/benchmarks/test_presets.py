"""Effects of presets: the benchmark runs, and the documentation shows the stored figures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import shared

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_the_guide_has_the_table_of_the_recorded_run() -> None:
    from presets import table

    figures = json.loads((ROOT / "benchmarks/results/0.1.0-presets.json").read_text(encoding="utf-8"))
    guide = (ROOT / "docs/guides/careful.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"<!-- presets: begin -->\n(.*?)\n<!-- presets: end -->", guide, re.S)
    assert shown == table(figures)

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row, first in enumerate(("`toedit`, the paper's method", "`careful`")):
        [there] = re.findall(rf"(?m)^\| {first} \| (\d.*) \|$", readme)
        assert set(there.split(" | ")) <= set(shown.splitlines()[2 + row].strip("| ").split(" | "))

    for presets in figures.values():
        for stats in presets["careful"]["generations"]:
            changed = {kind for kind, count in stats["num_changed_by_kind"].items() if count}
            assert changed <= {"whole_word", "capitalised_word", "punctuation"}
        assert presets["careful"]["new_words"] == {}


def test_it_counts_what_presets_change(tmp_path: Path) -> None:
    known = tmp_path / "words"
    known.write_text("once upon a time there was")
    source = shared("data/synthetic_tinystories_500.jsonl")
    options = ["--prior", shared("models/stories260K"), "--dictionary", known, "--out", tmp_path / "out.json"]
    run = [sys.executable, ROOT / "benchmarks/presets.py", *options, f"stories={source}:3"]
    printed = subprocess.run(list(map(str, run)), check=True, capture_output=True, text=True).stdout
    figures = json.loads((tmp_path / "out.json").read_text())["stories"]
    assert list(figures) == ["toedit", "careful"]
    assert [len(entry["generations"]) for entry in figures.values()] == [3, 3]
    tokens = figures["toedit"]["generations"][0]["num_tokens"]
    assert f"| stories | `toedit` | {tokens:,} | " in printed and tokens > 500
