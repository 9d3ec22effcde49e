from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.analysis.edits import Place, edit_figures, overlap, places
from hf_toedit.editing.piece_table import PieceTable, Replacement
from hf_toedit.stats import EditStats

SOURCE = "abcdefghijkl"


@st.composite
def tables(draw: st.DrawFn) -> PieceTable:
    """Return tables of the source and of two generations of random replacements."""
    table = PieceTable(SOURCE)
    for generation in (1, 2):
        cuts = draw(st.lists(st.integers(0, len(table.text)), max_size=6, unique=True).map(sorted))
        replacements = [
            Replacement(start, end, draw(st.sampled_from(["", "X", "YY"])))
            for start, end in zip(cuts[::2], cuts[1::2], strict=False)
        ]
        table = table.apply(replacements, generation)
    return table


@settings(deadline=None)
@given(tables())
def test_places_lead_from_the_source_to_the_text(table: PieceTable) -> None:
    found = places(table)
    text = SOURCE
    for place in reversed(found):
        text = text[: place.start] + place.text + text[place.end :]
    assert text == table.text and found == sorted(found)


@settings(deadline=None)
@given(tables(), tables())
def test_overlap_is_that_of_sets_of_characters(first: PieceTable, second: PieceTable) -> None:
    found = overlap([(first, second), (None, first), (second, None)])
    mine, theirs = places(first), places(second)
    total = len(mine) + len(theirs)
    assert found["num_texts"] == 3
    assert found["num_places"] == [total, total]
    for side, (one, other) in enumerate(((mine, theirs), (theirs, mine))):
        touched = {at for place in other for at in range(place.start, place.end)}
        shared = sum(bool(touched & set(range(place.start, place.end))) for place in one)
        assert found["shared"][side] == pytest.approx(shared / total if total else 0)
        assert found["same"][side] == pytest.approx(len(set(one) & set(other)) / total if total else 0)


def test_overlap_of_known_places() -> None:
    first = PieceTable("The cat sat.").apply([Replacement(4, 7, "dog"), Replacement(8, 11, "ran")], 1)
    second = PieceTable("The cat sat.").apply([Replacement(4, 7, "dog"), Replacement(9, 10, "i")], 1)
    assert places(first) == [Place(4, 7, "dog"), Place(8, 11, "ran")]
    assert overlap([(first, second)]) == {
        "num_texts": 1, "num_places": [2, 2], "shared": [1, 1], "same": [0.5, 0.5],
    }  # fmt: skip


def test_figures_of_generations() -> None:
    first = EditStats(
        num_tokens=100, num_selected=10, num_changed=4, num_selected_by_kind={"number": 6, "whole_word": 4},
        num_changed_by_kind={"number": 3, "whole_word": 1}, num_characters=200, num_characters_unchanged=190,
    )  # fmt: skip
    second = EditStats(num_tokens=100, num_selected=8, num_dropped=2)
    one, two = edit_figures([first, second])
    assert (one["selected_rate"], one["changed_rate"], one["eta"]) == (0.1, 0.04, None)
    assert one["changed_by_kind"] == {"number": 0.75, "whole_word": 0.25} and one["characters_unchanged"] == 0.95
    assert (two["dropped_rate"], two["eta"], two["changed_by_kind"]) == (0.02, pytest.approx(0.8), {})
    assert edit_figures([]) == []
