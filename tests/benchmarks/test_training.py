"""Training on edited text: the documentation shows the recorded figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_pages_have_the_tables_of_the_recorded_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from training import EDITS, is_short, table

    figures = json.loads((ROOT / "benchmarks/results/0.1.0-training.json").read_text(encoding="utf-8"))
    for page, expected in (("docs/guides/probe.md", table(figures)), ("README.md", table(figures, is_short))):
        text = (ROOT / page).read_text(encoding="utf-8")
        [shown] = re.findall(r"<!-- training: begin -->\n(.*?)\n<!-- training: end -->", text, re.DOTALL)
        assert shown == expected, page
    assert len(table(figures).splitlines()) == 2 + 1 + 2 * len(EDITS) + 2
    assert figures["reference"] == "source"
