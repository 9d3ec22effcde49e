"""Edits composed over generations against the source, so that any generation alone can rebuild the source text.

This is a piece table as in text editors: the current text consists of kept and replaced pieces of the source. The kept
pieces are implied; the log stores the replaced ones, each with its source text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hf_toedit.errors import ToEditError


class UnfitLog(ToEditError):
    """An edit log that does not match its text.

    Attributes:
        flaw: The mismatch.
    """

    def __init__(self, flaw: str) -> None:
        """Store the flaw."""
        super().__init__(flaw)
        self.flaw = flaw

    def __str__(self) -> str:
        """Return the message on one line."""
        return (
            f"the edit log does not fit its text: {self.flaw}. One of them was changed after hf-toedit wrote it; get "
            f"the dataset again."
        )


class Replacement(NamedTuple):
    """One splice of a generation into its own input text: `text[start:end]` becomes `text`."""

    start: int
    end: int
    text: str


class Edit(NamedTuple):
    """One difference between an edited text and the source.

    Attributes:
        start: First character, in the edited text.
        end: One past the last character; equal to `start` if the source text was deleted.
        source: The source characters that were in this place.
        generation: The last generation that changed this place.
    """

    start: int
    end: int
    source: str
    generation: int


@dataclass(frozen=True)
class PieceTable:
    """A text and its differences from the source.

    Attributes:
        text: The current text.
        edits: Differences, ascending, not overlapping.
    """

    text: str
    edits: tuple[Edit, ...] = ()

    @classmethod
    def from_log(cls, text: str, log: Iterable[dict]) -> PieceTable:
        """Rebuild a table from the `edits` of an output row.

        Raises:
            UnfitLog: They are not edits of this text.
        """
        table = cls(text, tuple(Edit(*(entry[name] for name in Edit._fields)) for entry in log))
        table.check()
        return table

    def check(self) -> None:
        """Refuse edits that do not match this text, since a log may come from anywhere.

        Raises:
            UnfitLog: They do not match.
        """
        at = 0
        for edit in self.edits:
            if None in edit:
                raise UnfitLog(f"an edit has no {Edit._fields[edit.index(None)]}")
            if not at <= edit.start <= edit.end <= len(self.text):
                raise UnfitLog(
                    f"an edit has characters {edit.start} to {edit.end}, not within {at} to {len(self.text)}"
                )
            at = edit.end

    def to_log(self) -> list[dict]:
        """Return the edits in the format of an output row."""
        return [edit._asdict() for edit in self.edits]

    @classmethod
    def joined(cls, tables: Iterable[PieceTable]) -> PieceTable:
        """Return the table of concatenated texts."""
        text, edits = "", []
        for table in tables:
            shift = len(text)
            edits += [edit._replace(start=edit.start + shift, end=edit.end + shift) for edit in table.edits]
            text += table.text
        return cls(text, tuple(edits))

    def split(self, at: int) -> tuple[PieceTable, PieceTable]:
        """Split into the tables of `text[:at]` and `text[at:]`; `joined` combines them to a table with the same source.

        An edit that crosses the border is cut, and its source text goes to its first half.
        """
        before = [edit._replace(end=min(edit.end, at)) for edit in self.edits if edit.start < at or edit.end <= at]
        behind = [
            edit._replace(
                start=max(edit.start - at, 0), end=edit.end - at, source="" if edit.start < at else edit.source
            )
            for edit in self.edits
            if edit.end > at
        ]
        return PieceTable(self.text[:at], tuple(before)), PieceTable(self.text[at:], tuple(behind))

    @property
    def num_unchanged(self) -> int:
        """Number of characters of the source that no edit touches."""
        return len(self.text) - sum(edit.end - edit.start for edit in self.edits)

    @property
    def num_source(self) -> int:
        """Number of characters of the source."""
        return self.num_unchanged + sum(len(edit.source) for edit in self.edits)

    def touched(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return which character spans of the text an edit overlaps.

        Args:
            starts: int `[n]`, first character of each span.
            ends: int `[n]`, one past the last character of each span.

        Returns:
            bool `[n]`; a deletion counts if it is inside a span.
        """
        if not self.edits:
            return np.zeros(len(starts), dtype=bool)
        edits = np.array([(edit.start, edit.end) for edit in self.edits])
        # Of the edits that end after a span's start, the first reaches furthest to the left.
        nearest = np.searchsorted(edits[:, 1], starts, side="right")
        inside = nearest < len(edits)
        return inside & (edits[np.where(inside, nearest, 0), 0] < ends)

    def revert(self) -> str:
        """Return the source text, exactly.

        Raises:
            UnfitLog: The log does not match the text.
        """
        self.check()
        kept, at = [], 0
        for edit in self.edits:
            kept += [self.text[at : edit.start], edit.source]
            at = edit.end
        return "".join([*kept, self.text[at:]])

    def apply(self, replacements: Sequence[Replacement], generation: int) -> PieceTable:
        """Splice one generation's replacements into the text and compose the log.

        Args:
            replacements: Replacements in characters of `text`, ascending, not overlapping.
            generation: Recorded for each place that they touch.

        Returns:
            The table of the new text; places that are equal to the source again leave the log.
        """
        if not replacements:
            return self
        output = _Output(self.text)
        old = list(self.edits)
        for group in _touching(replacements, old):
            output.write(group, generation)
        return output.finish()


@dataclass
class _Group:
    """Replacements and earlier edits in one span `[start, end)` of the input text."""

    start: int
    end: int
    replacements: list[Replacement]
    edits: list[Edit]


def _touching(replacements: Sequence[Replacement], edits: Sequence[Edit]) -> Iterator[_Group]:
    """Merge both ascending lists into groups: overlapping items become one place, adjacent ones remain two."""
    group: _Group | None = None
    merged: list[Replacement | Edit] = sorted(
        [*edits, *replacements], key=lambda item: (item.start, item.end, isinstance(item, Replacement))
    )
    for item in merged:
        if group is None or item.start >= group.end:
            if group is not None:
                yield group
            group = _Group(item.start, item.end, [], [])
        group.end = max(group.end, item.end)
        if isinstance(item, Replacement):
            group.replacements.append(item)
        else:
            group.edits.append(item)
    if group is not None:
        yield group


class _Output:
    """Writes the new text and its log from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._pieces: list[str] = []
        self._length = 0
        self._edits: list[Edit] = []

    def write(self, group: _Group, generation: int) -> None:
        """Copy the text up to a group, then write the group's new text."""
        self._emit(self._text[self._at : group.start])
        edited = _splice(self._text, group.start, group.end, group.replacements)
        source = _splice(
            self._text, group.start, group.end, [Replacement(edit.start, edit.end, edit.source) for edit in group.edits]
        )
        if edited != source:
            touched = generation if group.replacements else group.edits[-1].generation
            self._edits.append(Edit(self._length, self._length + len(edited), source, touched))
        self._emit(edited)
        self._at = group.end

    def finish(self) -> PieceTable:
        """Copy the remaining text."""
        self._emit(self._text[self._at :])
        return PieceTable("".join(self._pieces), tuple(self._edits))

    def _emit(self, piece: str) -> None:
        self._pieces.append(piece)
        self._length += len(piece)


def _splice(text: str, start: int, end: int, replacements: Sequence[Replacement]) -> str:
    """Return `text[start:end]` with replacements, which are inside it, applied."""
    pieces, at = [], start
    for replacement in replacements:
        pieces += [text[at : replacement.start], replacement.text]
        at = replacement.end
    return "".join([*pieces, text[at:end]])
