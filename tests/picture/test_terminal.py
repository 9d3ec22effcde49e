"""The same picture in a terminal, with and without colours."""

from __future__ import annotations

from hf_toedit import EditConfig
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.result import EditedDocument
from hf_toedit.picture.data import Frame, Gallery, Token
from hf_toedit.picture.terminal import frame_text, histogram, legend
from hf_toedit.stats import EditStats


def frame(*tokens: tuple[str, float | None, str]) -> Frame:
    """Return a text of tokens with p and their outcome: kept, selected, dropped, or `= ` and the drawn text."""
    made, at = [], 0
    for text, p, fate in tokens:
        drawn = {"kept": None, "selected": None, "dropped": ""}.get(fate, fate.removeprefix("= "))
        kind = None if drawn is None else "punctuation" if text == "." else "whole_word"
        made.append(Token(text, at, p, 1, (), fate not in ("kept", "dropped"), drawn, fate == "dropped", None, kind))
        at += len(text)
    return Frame(1, EditedDocument(PieceTable("".join(text for text, _, _ in tokens))), tuple(made))


SHORT = frame(("One", None, "kept"), (" day\n", 0.05, "kept"), (" he", 0.3, "kept"), (" had", 0.6, "selected"),
              (" a", 0.95, "selected"), (" \x1bdog", 1.0, "= cat"), (".", 0.001, "dropped"))  # fmt: skip


def test_without_colours() -> None:
    assert (
        frame_text(SHORT, colour=False).plain
        == "One day⏎ he‹ had›‹ a›[- \\x1bdog-]{+cat+}(whole word)[-.-](punctuation)"
    )
    assert frame_text(SHORT, colour=False).spans == []


def test_with_colours() -> None:
    line = frame_text(SHORT, colour=True)
    assert line.plain == "One day⏎ he had a \\x1bdogcat(whole word).(punctuation)"
    assert [(line.plain[span.start : span.end], span.style) for span in line.spans] == [
        ("One", "dim"), (" he", "yellow"), (" had", "green underline"), (" a", "cyan underline"),
        (" \\x1bdog", "red strike"), ("cat", "green bold"), ("(whole word)", "dim"), (".", "red strike"),
        ("(punctuation)", "dim"),
    ]  # fmt: skip


def test_a_long_text_is_cut_to_what_changed() -> None:
    words = [(f" w{n:03}", 0.2, "kept") for n in range(100)]
    words[50] = (" w050", 0.99, "= new")
    words[80] = (" w080", 0.99, "= newer")
    words[10] = (" w010", 0.99, "selected")
    shown = frame_text(frame(*words), colour=False).plain
    near = "".join(f" w{n:03}" for n in range(42, 50)) + "[- w050-]{+new+}"
    assert shown.startswith(f" … {near}")
    assert shown.count(" … ") == 2
    assert shown.endswith(" w088 …")
    assert "w010" not in shown
    shown = frame_text(frame(*words), colour=False, max_places=1).plain
    assert shown.endswith(" … (and 1 more changed)")
    shown = frame_text(frame(*words), colour=False, max_places=None).plain
    assert shown.count(" w0") == 100
    assert "‹ w010›" in shown


def test_a_long_text_without_changes_is_cut_to_what_was_selected() -> None:
    words = [(f" w{n:03}", 0.2, "selected" if n % 20 == 0 else "kept") for n in range(100)]
    shown = frame_text(frame(*words), colour=False, max_places=2).plain
    assert shown.startswith("‹ w000›")
    assert "‹ w020›" in shown
    assert "w040" not in shown
    assert shown.endswith(" … (and 3 more selected)")
    shown = frame_text(frame(*((f" w{n:03}", 0.2, "kept") for n in range(100))), colour=False).plain
    assert shown == "".join(f" w{n:03}" for n in range(16)) + " …"


def test_an_unread_text_is_cut_as_well() -> None:
    unread = Frame(1, EditedDocument(PieceTable("x" * 100), "prior_failed"), ())
    assert frame_text(unread, colour=False).plain == "x" * 80 + " …"
    assert frame_text(unread, colour=False, max_places=None).plain == "x" * 100
    assert frame_text(Frame(1, EditedDocument(None, "null"), ()), colour=True).plain == ""


def test_legend() -> None:
    assert legend(EditConfig(), colour=False).plain == "‹token› selected: p ≥ 0.99  [-before-]{+after+}(kind) changed"
    assert legend(EditConfig(select="below", threshold=0.1, drop_below=0.01), colour=True).plain == (
        "p 0–0.1  p 0.1–0.5  p 0.5–0.9  p 0.9–1  token selected: p ≤ 0.1  beforeafter(kind) changed  "
        "token dropped: p < 0.01"
    )
    assert legend(EditConfig(select="none"), colour=False).plain == ""


def test_histogram() -> None:
    stats = EditStats(num_tokens=8, num_scored=8, probability_histogram=[4, 0, 1, 0, 0, 0, 0, 0, 1, 2])
    lines = histogram(stats, EditConfig(), generation=1).plain.splitlines()
    assert lines[0] == "Tokens by probability p in generation 1:"
    assert lines[1] == "0.0–0.1  50.0% " + "█" * 40
    assert lines[2] == "0.1–0.2   0.0% "
    assert lines[10] == "0.9–1.0  25.0% " + "█" * 20 + "  ← selected: p ≥ 0.99"
    marked = [histogram(stats, EditConfig(threshold=p)).plain.splitlines() for p in (0, 0.1, 0.95, 1)]
    assert [[n for n, line in enumerate(lines) if "←" in line] for lines in marked] == [[1], [2], [10], [10]]
    assert "←" not in histogram(stats, EditConfig(select="none")).plain
    assert not histogram(EditStats(), EditConfig())


def test_a_real_text_reads_the_same_in_colours_or_not(gallery: Gallery) -> None:
    for picture in gallery.pictures:
        for shown in picture.frames:
            plain = frame_text(shown, colour=False, max_places=None).plain
            for mark in ("‹", "›", "[-", "-]", "{+", "+}"):
                plain = plain.replace(mark, "")
            assert frame_text(shown, colour=True, max_places=None).plain == plain
            assert all(character.isprintable() or character in "\u200d\ufe0f\xa0" for character in plain)
