"""Items that edit, generate, compare, mix and train run on less data than `tiny`, and resume where they stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hf_toedit import sample
from hf_toedit.papers.item import Work
from hf_toedit.papers.registry import find_item
from hf_toedit.papers.toedit.data import write_conversations, write_texts
from hf_toedit.papers.toedit.training import between

TRAINING = {"num_tokens": 600, "seeds": 2, "context": 64}
WRITING = {"max_new_tokens": 24}
SMALL: dict[str, dict[str, Any]] = {
    "Table 8": {},
    "toedit:Figure 3": WRITING,
    "toedit:Figure 5": WRITING,
    "toedit:Figure 2": {**WRITING, **TRAINING, "synthetic_shares": [0.0, 0.5, 1.0]},
    "toedit:Figure 4": {**WRITING, **TRAINING, "num_tokens": 300},
    "Figure 10": {**WRITING, **TRAINING, "num_tokens": 300},
    "Figure 11": WRITING,
    "toedit:Table 2": TRAINING,
    "toedit:Table 4": {**TRAINING, "request_words": 10},
    "Table 5": TRAINING,
    "Table 6": TRAINING,
    "Table 7": TRAINING,
    "Figure 1": {**WRITING, **TRAINING, "generations": 1, "num_candidates": 1},
    "Appendix D.3": {**WRITING, "rounds": 1, "rows": 2},
}


@pytest.mark.parametrize("name", SMALL)
def test_an_item_runs_through(name: str, tmp_path: Path) -> None:
    item = find_item(name)
    texts = [text[:400] for text in pq.read_table(sample.path())["text"].to_pylist()[:20]]
    parts = {"human": texts[:14], "held_out": texts[14:]}
    files = {part: write_texts(tmp_path / f"{part}.parquet", rows) for part, rows in parts.items()}
    settings = {**item.settings("tiny"), **files, **SMALL[name]}
    if name == "Table 8":
        settings["source"] = files["human"]
    outcome = item.run(settings, Work(0, tmp_path, workers=0))
    assert outcome.holds in ("yes", "no", "not decided") and outcome.reason.endswith(".")
    for table in outcome.tables:
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
    for plot in outcome.plots:
        assert all(len(line.x) == len(line.y) for line in plot.lines)
    if name in ("Table 8", "toedit:Figure 3", "toedit:Table 2"):
        again = item.run(settings, Work(0, tmp_path, workers=0))
        assert again.tables == outcome.tables and again.reason == outcome.reason
    if name == "Table 6":
        found = between("source", "k-64", settings, Work(0, tmp_path)).to_json()
        theirs = outcome.figures["probe"]["k-64"]["differences"]["0.003"]["all"]
        parts = {"value", "half", "low", "high", "verdict"}
        assert {part: found[part] for part in parts} == {part: theirs[part] for part in parts}


def test_conversations_have_all_of_their_texts(tmp_path: Path) -> None:
    texts = ["  one two\n three  four five\n", "one two", "", "one two three\tfour"]
    source = write_texts(tmp_path / "texts.parquet", texts)
    written = write_conversations(source, tmp_path / "conversations.parquet", 3)
    rows = pq.read_table(written)["messages"].to_pylist()
    assert rows == [
        [{"role": "user", "content": "one two\n three"}, {"role": "assistant", "content": "four five\n"}],
        [{"role": "user", "content": "one two three"}, {"role": "assistant", "content": "four"}],
    ]
