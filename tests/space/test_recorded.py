"""The recorded examples of a real prior in the demo."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from hf_toedit.place_kinds import KINDS
from hf_toedit.space.recorded import recorded_html


def test_what_is_recorded_is_shown() -> None:
    runs = json.loads(files("hf_toedit.space").joinpath("assets/recorded.json").read_text(encoding="utf-8"))
    page = recorded_html()
    assert "<script" not in page and "SmolLM2-135M-Instruct" in page
    for run in runs:
        assert len(run["num_selected"]) == len(run["num_changed"]) == 3
        assert run["num_selected"][0] > run["num_changed"][0]
        assert run["title"] in page and f"{run['num_tokens']:,} tokens" in page
        assert f"{run['num_selected'][0] / run['num_tokens']:.2%}" in page
        assert run["places_by_kind"].keys() == {place["kind"] for place in run["places"]} <= KINDS.keys()
    shown = [len(re.findall(f"<{tag}>", page)) for tag in ("del", "ins")]
    places = [place for run in runs for place in run["places"]]
    for number, kind in zip(shown, ("removed", "added"), strict=True):
        assert number == sum(name == kind and bool(text) for place in places for name, text in place["segments"]) > 3


def test_careful_edits_break_no_word() -> None:
    runs = json.loads(files("hf_toedit.space").joinpath("assets/recorded.json").read_text(encoding="utf-8"))
    paper, *careful = runs
    assert "inside_word" in paper["places_by_kind"]
    for run in careful:
        assert not {"inside_word", "number", "code", "whitespace"} & run["places_by_kind"].keys()
