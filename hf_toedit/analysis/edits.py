"""The edits of the compared datasets: decay, kinds, and the overlap of two runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.mergeable import ratio
from hf_toedit.stats import EditStats, generation_figures


class Place(NamedTuple):
    """A place where a text differs from its source.

    Attributes:
        start: First character, in the source.
        end: One past the last.
        text: The current text.
    """

    start: int
    end: int
    text: str


def edit_figures(generations: Sequence[EditStats]) -> list[dict[str, Any]]:
    """Return the figures of each generation.

    Args:
        generations: Statistics of generations 1, 2, … up to the compared one.

    Returns:
        JSON values: `generation`, `num_tokens`; `selected_rate`, `changed_rate` and `dropped_rate` of these;
        `eta`, the ratio of the selected rate to that of the previous generation; `characters_unchanged`, the share of
        the source's characters that no edit touches; and `changed_by_kind`, shares of the changed and deleted tokens,
        empty if kinds are unknown. Undefined values are None.
    """
    return [
        {
            "generation": figures.generation,
            "num_tokens": stats.num_tokens,
            "selected_rate": stats.selected_rate,
            "changed_rate": stats.changed_rate,
            "dropped_rate": ratio(stats.num_dropped, stats.num_tokens),
            "eta": figures.eta,
            "characters_unchanged": figures.characters_unchanged,
            "changed_by_kind": _shares_by_kind(stats),
        }
        for stats, figures in zip(generations, generation_figures(generations), strict=True)
    ]


def _shares_by_kind(stats: EditStats) -> dict[str, float]:
    counts = {kind: found.num_changed + found.num_dropped for kind, found in stats.kinds.items()}
    return {kind: count / sum(counts.values()) for kind, count in counts.items() if count}


def overlap(pairs: Iterable[tuple[PieceTable | None, PieceTable | None]]) -> dict[str, Any]:
    """Return the overlap of the places that two runs edited in one source.

    Args:
        pairs: Texts of both runs; each pair comes from one text of the source.

    Returns:
        JSON values: `num_texts`; and, for each run, `num_places` that differ from the source, `shared`: the share of
            these
        that have a character of the source in common with a place of the other run, and `same`: the share that the
            other
        run edited as well, from the same first to the same last character and to the same text.
    """
    num_texts, num_places, num_shared, num_same = 0, [0, 0], [0, 0], 0
    for pair in pairs:
        first, second = (places(table) for table in pair)
        num_texts += 1
        num_same += len(set(first) & set(second))
        for side, (mine, theirs) in enumerate(((first, second), (second, first))):
            num_places[side] += len(mine)
            num_shared[side] += _num_touched(mine, theirs)
    return {
        "num_texts": num_texts,
        "num_places": num_places,
        "shared": [ratio(*counts) for counts in zip(num_shared, num_places, strict=True)],
        "same": [ratio(num_same, count) for count in num_places],
    }


def places(table: PieceTable | None) -> list[Place]:
    """Return the places where a text differs from its source, ascending; empty if its edits are unknown."""
    found = []
    shift = 0  # from the text to the source
    for edit in table.edits if table else ():
        start = edit.start + shift
        found.append(Place(start, start + len(edit.source), table.text[edit.start : edit.end] if table else ""))
        shift += len(edit.source) - (edit.end - edit.start)
    return found


def _num_touched(mine: Sequence[Place], theirs: Sequence[Place]) -> int:
    """Return the number of places of one that have a character in common with any of the other."""
    count = at = 0
    for place in mine:
        while at < len(theirs) and theirs[at].end <= place.start:
            at += 1
        count += at < len(theirs) and theirs[at].start < place.end
    return count
