"""The functions of the dataset tab and their HTML; the browser tests cover the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_toedit.editing.piece_table import Edit, PieceTable
from hf_toedit.errors import UsageError
from hf_toedit.space.dataset_tab import Browsing, Search
from hf_toedit.space.row_link import PREFIX, RowAddress
from hf_toedit.space.row_view import row_html, shortened
from hf_toedit.space.rows import Row, RowText
from hf_toedit.space.run_figures import run_html
from hf_toedit.space.settings import SpaceSettings
from tests.cli.command import HfToEdit
from tests.space.test_rows import opened, written


class Visitor:
    """Presses buttons, and keeps the state that a page would keep."""

    def __init__(self, run: Path, **settings: Any) -> None:
        self.browsing = Browsing(SpaceSettings(local=True, **settings))
        self.reverted = False
        self.take(self.browsing.open(str(run))[8:], "")

    def take(self, moved: list[Any], notice: str) -> str:
        """Keep row, fragment, place and search if they are updated."""
        *_, shown, self.fragment, place, self.search = moved
        if isinstance(place, RowAddress):
            self.place, self.shown = place, shown
        return notice

    def press(self, name: str, *values: Any) -> str:
        """Press a button, and return the notice."""
        search = (self.search,) if name in ("previous", "following") else ()
        moved = getattr(self.browsing, name)(self.place, self.reverted, *search, *values)
        return self.take(moved, moved[0])


def test_a_walk_through_a_run(sharded: Path) -> None:
    visitor = Visitor(sharded)
    rows = opened(sharded).rows
    changed = [number for number in range(25) if rows.row(2, "train", number).counts["num_changed"]]
    assert visitor.place == RowAddress(str(sharded), 2, "train", changed[0])
    assert f"Row {changed[0]} of train, generation 2" in visitor.shown
    assert visitor.fragment == ""  # a link does not name a local folder
    visitor.press("row", 0)
    for number in range(1, 25):
        assert visitor.press("following", 0, 100) == ""
        assert visitor.place.row == number
    assert "This is the last row." in visitor.press("following", 0, 100)
    visitor.press("row", 12)
    visitor.press("generation", 1)
    assert visitor.place == RowAddress(str(sharded), 1, "train", 12)
    assert "There is no row 25" in visitor.press("row", 25) and visitor.place.row == 12
    assert visitor.press("row", None) == "" and visitor.place.row == 12
    assert "There is no row -1" in visitor.press("row", -1)
    assert "no rows in split" in visitor.press("split", "other")
    visitor.reverted = True
    visitor.press("revert")
    source = opened(sharded).rows.row(2, "train", 12).sources[0] or ""
    assert "reverted from generation 1" in visitor.shown and source[:20] in visitor.shown
    assert "<ins>" not in visitor.shown and "The log of generation 2 gives the same source." in visitor.shown


def test_the_filter_stops_at_rows_that_fit(long: Path) -> None:
    visitor = Visitor(long)
    visitor.press("row", 0)
    rows = opened(long).rows
    assert visitor.press("following", 20, 100) == ""
    assert visitor.place.row == rows.search(1, "train", 0, 1, 0.2, 1.0).number
    assert "in this range" in visitor.press("previous", 99.9, 100)


def test_another_filter_begins_another_search(long: Path) -> None:
    visitor = Visitor(long)
    visitor.press("row", 0)
    visitor.search = Search(1, 99.0, 100.0, 2299)  # the position of a search for larger shares
    assert visitor.press("following", 20, 100) == ""
    assert visitor.place.row == opened(long).rows.search(1, "train", 0, 1, 0.2, 1.0).number
    visitor.search = Search(1, 20, 100, 2299)
    assert "has a share of changed tokens in this range" in visitor.press("following", 20, 100)


def test_a_link_opens_nothing_of_this_machine(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sharded.parent.parent)
    named = f"{sharded.parent.name}/{sharded.name}"
    browsing = Browsing(SpaceSettings(local=True))
    assert browsing.open(named)[0] == ""
    browsing = Browsing(SpaceSettings(local=True))
    for name in (str(sharded), named, f"file://{sharded}", "s3://bucket/run"):
        answer = browsing.restore(RowAddress(name, 1, "train", 0).to_fragment())
        assert "te-notice" in answer[1] and len({repr(value) for value in answer[2:]}) == 1, answer


def test_what_cannot_be_opened_is_told_and_what_is_shown_stays(sharded: Path) -> None:
    browsing = Browsing(SpaceSettings())
    notice, *rest = browsing.open("<img src=x onerror=alert(1)>${1}")
    assert "te-notice" in notice and "<img" not in notice and "${" not in notice
    assert len({repr(value) for value in rest}) == 1
    assert "cannot be opened" in browsing.open(str(sharded))[0]


def test_links_lead_back(sharded: Path) -> None:
    place = RowAddress("org/name@0123/a folder", 3, "train&x=1", 7)
    assert RowAddress.from_fragment(place.to_fragment()) == place
    for damaged in (PREFIX, f"{PREFIX}dataset=a", f"{PREFIX}dataset=a&generation=x&split=train&row=1"):
        with pytest.raises(UsageError, match="link is damaged"):
            RowAddress.from_fragment(damaged)
    name, notice, *_ = Browsing(SpaceSettings(source="org/x")).restore(f"{PREFIX}dataset=a")
    assert "link is damaged" in notice
    first = Browsing(SpaceSettings(local=True, source=str(sharded))).restore("")
    assert first[0] == str(sharded) and "of train, generation 2" in first[12]


def test_a_run_opens_at_a_row_that_changed(
    long: Path, unlogged: Path, unfinished: Path, hf_toedit: HfToEdit, tmp_path: Path
) -> None:
    rows = opened(long).rows
    first = next(number for number in range(2300) if rows.row(1, "train", number).counts["num_changed"])
    assert first and Visitor(long).place.row == first
    assert Visitor(unlogged).place.row == 0
    assert Visitor(unfinished).place.generation == opened(unfinished).rows.generations[-1]
    # If the last generation changed nothing, a row that the first one changed; if none did, the first row.
    texts = ["A", "Once upon a time there was a little girl who lived in a house.", "B"]
    Dataset.from_dict({"text": texts}).to_parquet(tmp_path / "rows.parquet")
    for threshold, row in ((0.9, 1), (1.0, 0)):
        options = ("--threshold", threshold, "--temperature", 4, "--generations", 4)
        run = hf_toedit.edit(tmp_path / "rows.parquet", tmp_path / str(threshold), *options)
        assert not any(entry["toedit"]["num_changed"] for entry in written(run, 4))
        assert Visitor(run).place == RowAddress(str(run), 4, "train", row)


def test_figures_of_runs_of_every_shape(
    sharded: Path, unfinished: Path, columns: Path, chat: Path, unlogged: Path, run: Path
) -> None:
    shown = {folder: run_html(opened(folder)) for folder in (sharded, unfinished, columns, chat, unlogged, run)}
    for html in shown.values():
        assert html.count("<h2>") == 1 and "te-generations" in html and "te-histogram" in html
    assert shown[run].count("te-curve") == 2 and shown[chat].count("te-curve") == 0
    assert "figures are of 2 of its 4 shards" in shown[unfinished] and "not finished" not in shown[sharded]
    assert "24 rows in train, 6 rows in validation, 6 rows in test" in shown[columns]


def test_rows_of_every_shape(columns: Path, chat: Path, unlogged: Path) -> None:
    assert "<h4>notes.hint</h4>" in _html(columns, 0)
    assert "<h4>messages[2].content</h4>" in _html(chat, 0)
    assert "without an edit log" in _html(unlogged, 0)


def test_a_row_is_cut_and_says_so(sharded: Path) -> None:
    rows = opened(sharded).rows
    row = rows.row(1, "train", 0)
    html = row_html(row, rows, 30, False)
    assert "first 30 characters are shown" in html
    assert "first" not in row_html(row, rows, 20_000, False).replace("first of", "")


def test_a_text_is_no_more_than_text(sharded: Path) -> None:
    bad = "</div><script>alert(1)</script>${alert(1)}{{x}}"
    table = PieceTable(bad, (Edit(0, 6, "<b>", 1),))
    row = Row(1, "<i>", 0, (RowText("<u>", table),), (table.revert(),), {})
    rows = opened(sharded).rows
    html = row_html(row, rows, 1000, False)
    assert not any(mark in html for mark in ("<script", "<b>", "<i>", "<u>", "${", "{{"))


def test_a_row_tells_the_kinds_of_its_edits(sharded: Path) -> None:
    """This holds even if the row is truncated: the kinds are those in the whole text."""
    table = PieceTable("In 1006 Kittes", (Edit(3, 7, "2006", 1), Edit(8, 12, "Kutt", 1)))
    row = Row(1, "train", 0, (RowText(None, table),), (table.revert(),), {})
    rows = opened(sharded).rows
    html = row_html(row, rows, 1000, False)
    assert "2 edits against the source (1 number, 1 inside a word)." in html
    assert '<del title="number">2006</del><ins title="number">1006</ins>' in html
    assert '<ins title="inside a word">Kitt</ins></div>' in row_html(row, rows, 20, False)
    assert "title" not in row_html(row, rows, 1000, True)


def test_the_beginning_of_a_text() -> None:
    table = PieceTable("0123456789", (Edit(2, 4, "ab", 1), Edit(6, 6, "x" * 50, 1)))
    assert shortened(table, 1) == PieceTable("0")
    assert shortened(table, 5) == PieceTable("01")
    assert shortened(table, 6) == PieceTable("0123", table.edits[:1])
    assert shortened(table, 9) == PieceTable("012345", table.edits[:1])
    assert shortened(table, 58) == PieceTable("012345", table.edits)
    assert shortened(table, 62) == table


def _html(folder: Path, number: int) -> str:
    rows = opened(folder).rows
    return row_html(rows.row(rows.generations[-1], rows.splits[0], number), rows, 20_000, False)
