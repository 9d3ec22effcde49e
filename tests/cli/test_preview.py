"""`hf-toedit preview`: generations, whole texts, and the page; `test_output` tests its other output."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from datasets import Dataset

from hf_toedit.cards.escape import printable
from hf_toedit.place_kinds import KINDS
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import ODD, load, stories


class Frames(HTMLParser):
    """Parser of the original texts on a page, one per frame."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = 0
        self._added = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if "te-text" in (dict(attrs).get("class") or ""):
            self.texts.append("")
            self._inside = 1
        elif self._inside:
            self._inside += 1
        self._added = self._added or tag == "ins"

    def handle_endtag(self, tag):
        self._inside -= bool(self._inside)
        self._added = self._added and tag != "ins"

    def handle_data(self, data):
        if self._inside and not self._added:
            self.texts[-1] += data


def test_generations_are_those_of_edit(hf_toedit: HfToEdit, source: Path, run: Path) -> None:
    done = hf_toedit("preview", source, "--first", "-n", 14, "--generations", 3, "--json", "--candidates", *eager())
    rows = load(run, "gen3")["train"]
    assert [text["after"] for text in done.json["texts"]] == rows["text"]
    assert [text["edits"] for text in done.json["texts"]] == [log["edits"] for log in rows["toedit"]]
    assert [entry["generation"] for entry in done.json["generations"]] == [1, 2, 3]
    assert done.json["generations"][2]["eta"] is not None
    for figures in done.json["generations"]:
        selected = [token for text in done.json["texts"] for token in text["selected"]]
        count = sum(token["generation"] == figures["generation"] for token in selected)
        assert count == figures["num_selected"] > 0
        changed = [token for text in done.json["texts"] for token in text["changed"]]
        kinds = Counter(token["kind"] for token in changed if token["generation"] == figures["generation"])
        assert kinds == Counter(figures["num_changed_by_kind"]) and kinds.total() == figures["num_changed"] > 0
        assert all(token["kind"] in KINDS for token in [*selected, *changed])


def test_text(hf_toedit: HfToEdit, source: Path) -> None:
    done = hf_toedit("preview", source, "--first", "-n", 3, "--generations", 2, *eager())
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"row 0 · generation 1 · \d+ tokens, \d+ selected, \d+ changed \([\d a-z,]+\)", lines[0])
    assert lines[3].startswith("row 0 · generation 2 · ")
    assert [line for line in lines if line.startswith("row 1")] == ["row 1 · not read, unchanged: null"]
    assert "‹token› selected: p ≥ 0.9  [-before-]{+after+}(kind) changed" in lines
    assert "Tokens by probability p in generation 1:" in lines
    assert sum(line.endswith("← selected: p ≥ 0.9") for line in lines) == 1
    told = re.findall(r"-\]\{\+.*?\+\}\((.*?)\)", lines[1])
    assert told and set(told) <= set(KINDS.values())
    assert lines[-1].startswith("changed, gen 2")
    [table] = [number for number, line in enumerate(lines) if line.startswith("gen ")]
    assert [line.split()[0] for line in lines[table + 1 : table + 3]] == ["1", "2"]
    once = hf_toedit("preview", source, "--first", "-n", 1, *eager()).stdout
    assert "generation" not in once
    whole = hf_toedit("preview", source, "--first", "-n", 1, "--whole", *eager()).stdout.splitlines()[1]
    assert "…" not in whole
    assert len(whole) >= 240


@pytest.mark.parametrize("options", [(), ("--json", "--candidates"), ("--generations", 2, "--candidates")])
def test_a_page(hf_toedit: HfToEdit, source: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    target = tmp_path / "page & <more>.html"
    done = hf_toedit("preview", source, "--first", "-n", 7, "--html", target, *options, *eager())
    assert (done.code, done.stderr) == (0, "")
    assert ("Page: " in done.stdout) == ("--json" not in options)
    page = target.read_text(encoding="utf-8")
    assert not re.search(r"https?:|<link|<img|<iframe", page)
    read = Frames(page).texts
    texts = [text for text in (stories(1)[0], *ODD, stories(2)[1]) if text]
    generations = 2 if "--generations" in options else 1
    assert [text.replace("⏎\n", "⏎") for text in read[::generations]] == list(map(printable, texts))
    assert list(tmp_path.iterdir()) == [target]
    # A page that hf-toedit wrote is overwritten.
    again = hf_toedit("preview", source, "--first", "-n", 1, "--html", target, *eager())
    assert again.code == 0
    assert len(target.read_text(encoding="utf-8")) < len(page)


def test_what_cannot_become_a_page(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for target, words in {
        tmp_path: "it is a folder. Name a file in it, such as",
        tmp_path / "no" / "page.html": f"the folder {tmp_path / 'no'} does not exist. Create it",
        tmp_path / "notes.txt" / "page.html": f"the folder {tmp_path / 'notes.txt'} does not exist",
        tmp_path / "notes.txt": "exists and is not a page of hf-toedit. Name another file.",
    }.items():
        assert words in hf_toedit.fails("preview", "sample", "--html", target, code=2)
    assert "cannot write" in hf_toedit.fails("preview", "sample", "-n", 1, "--html", tmp_path / ("x" * 230), *eager())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_generations_out_of_range(hf_toedit: HfToEdit) -> None:
    assert "generations 0 is out of range" in hf_toedit.fails("preview", "sample", "--generations", 0, code=2)


def test_conversations(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi <b>."}, {"role": "assistant", "content": stories(1)[0]}]
    Dataset.from_dict({"messages": [messages]}).to_json(tmp_path / "chats.jsonl")
    asked = "preview", tmp_path / "chats.jsonl", "--messages-column", "messages", *eager()
    done = hf_toedit(*asked, "--html", tmp_path / "page.html")
    assert done.stdout.startswith("row 0 messages[1].content · ")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert Frames(page).texts == [printable(stories(1)[0]).replace("⏎", "⏎\n")]
    assert "<h2>row 0 messages[1].content</h2>" in page


def test_rows_that_change_come_first(hf_toedit: HfToEdit, source: Path) -> None:
    everything = hf_toedit("preview", source, "--first", "-n", 14, "--json", *eager()).json["texts"]
    changed = [text["name"] for text in everything if text["changed"]]
    assert len(changed) > 3 and changed[:3] != [text["name"] for text in everything[:3]]
    shown = hf_toedit("preview", source, "-n", 3, "--json", *eager()).json["texts"]
    assert [text["name"] for text in shown] == changed[:3]
    assert shown == [text for text in everything if text["name"] in changed[:3]]


def test_where_nothing_changes_a_threshold_is_suggested(hf_toedit: HfToEdit, source: Path) -> None:
    asked = "preview", source, "-n", 2, "--threshold", 1, "--limit", 8
    told = hf_toedit(*asked).stdout.splitlines()[-1]
    found = re.fullmatch(
        r"Nothing changed in the first 8 rows\. --threshold (0\.\d+) would select 5% of the tokens shown\.", told
    )
    assert found
    figures = hf_toedit(*asked[:-4], "--threshold", found[1], "--first", "--json").json["generations"][0]
    assert 0.05 <= figures["selected_rate"] < 0.08
    told = hf_toedit("preview", source, "-n", 1, "--select", "none", "--drop-below", 0).stdout.splitlines()[-1]
    assert told == "Nothing changed in the first 8 rows."
