"""Edited places of a text with a little surrounding text, for display."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hf_toedit.editing.piece_table import PieceTable

KEPT, REMOVED, ADDED, GAP = "kept", "removed", "added", "gap"


class Segment(NamedTuple):
    """A span of text: `KEPT`, `REMOVED` from the source, `ADDED` to it, or a `GAP` for omitted text."""

    kind: str
    text: str


def segments(table: PieceTable, max_places: int, context: int) -> Iterator[Segment]:
    """Yield the first edited places of a text, before and after the edit.

    Args:
        table: A text and its differences from the source.
        max_places: Maximum number of places to show.
        context: Number of characters to show around each place.
    """
    at = 0
    for number, edit in enumerate(table.edits[:max_places]):
        start = max(at, edit.start - context)
        if start > at or (number == 0 and start > 0):
            yield Segment(GAP, " … ")
        yield Segment(KEPT, table.text[start : edit.start])
        yield Segment(REMOVED, edit.source)
        yield Segment(ADDED, table.text[edit.start : edit.end])
        at = edit.end
        following = table.edits[number + 1].start if number + 1 < len(table.edits) else len(table.text)
        stop = min(at + context, following)
        yield Segment(KEPT, table.text[at:stop])
        at = stop
    hidden = len(table.edits) - max_places
    if at < len(table.text) or hidden > 0:
        yield Segment(GAP, f" … (and {hidden:,} more)" if hidden > 0 else " …")
