"""Guards for `protect`: which tokens may not be edited, and which edits are reverted.

A guard finds spans of a text. Tokens in them are not edited. That alone does not protect them: an edit may create a
number next to one, end a sentence before a name, or open a quotation. So the edited text is searched as well: an edit
that changes which such spans the text has is reverted.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from hf_toedit.editing.code import code
from hf_toedit.editing.names import names
from hf_toedit.editing.piece_table import Replacement
from hf_toedit.editing.words import WordBoundaries, segments, shape_of, stands_apart
from hf_toedit.protect import protect_regex

Span = tuple[int, int]


class Guards:
    """All guards of a `protect` setting."""

    def __init__(self, protect: Sequence[str]) -> None:
        """Compile the patterns.

        Args:
            protect: See `EditConfig.protect`.
        """
        self.keep_words = "words" in protect
        self._guards = [_guard(name) for name in protect]

    def protected(self, text: str, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return which tokens of a text may not be edited.

        Args:
            text: The document.
            starts: int `[n]`, first character of each token.
            ends: int `[n]`, one past the last character of each token.

        Returns:
            bool `[n]`.
        """
        protected = np.zeros(len(starts), dtype=bool)
        for guard in self._guards:
            protected |= guard.protected(text, starts, ends)
        return protected

    def to_put_back(self, text: str, replacements: Sequence[Replacement]) -> set[int]:
        """Return which replacements to revert, so that every guard finds the same spans in the edited text as before.

        Replacements that touch a span which would appear, vanish or change are removed, and the rest is checked again.
        If none touches such a span, all are removed.

        Args:
            text: The document.
            replacements: Replacements of tokens that are not protected; ascending, not overlapping.

        Returns:
            Indices of the replacements to revert.
        """
        before = [guard.spans(text) for guard in self._guards]
        kept = list(range(len(replacements)))
        while kept:
            edited = _Edited(text, [replacements[index] for index in kept])
            wrong = [
                span
                for guard, spans in zip(self._guards, before, strict=True)
                for span in set(guard.spans(edited.text)) ^ guard.expected(spans, edited)
            ]
            if not wrong:
                break
            touching = edited.touching(wrong)
            kept = [index for place, index in enumerate(kept) if place not in touching] if touching else []
        return set(range(len(replacements))) - set(kept)


class _Edited:
    """A text with replacements applied, and the new positions of its characters."""

    def __init__(self, text: str, replacements: Sequence[Replacement]) -> None:
        pieces, at = [], 0
        for replacement in replacements:
            pieces += [text[at : replacement.start], replacement.text]
            at = replacement.end
        self.text = "".join([*pieces, text[at:]])
        self.replacements = replacements
        self._starts = np.array([replacement.start for replacement in replacements])
        self._ends = np.array([replacement.end for replacement in replacements])
        grown = [len(replacement.text) - (replacement.end - replacement.start) for replacement in replacements]
        self._shifts = np.concatenate([[0], np.cumsum(grown)])
        self.places = self._starts + self._shifts[:-1]
        """int `[m]`: where the new text of each replacement begins."""

    def moved(self, spans: Sequence[Span]) -> set[Span]:
        """Return the new positions of spans of the text; spans with a replacement inside are left out."""
        if not spans:
            return set()
        starts, ends = np.array(spans).T
        before = np.searchsorted(self._ends, starts, side="right")
        apart = before == np.searchsorted(self._starts, ends)
        shifts = self._shifts[before]
        moved = np.stack([starts + shifts, ends + shifts], axis=1)[apart]
        return set(map(tuple, moved.tolist()))

    def touching(self, spans: Sequence[Span]) -> set[int]:
        """Return indices of the replacements whose new text overlaps or adjoins a span of the edited text."""
        lengths = np.array([len(replacement.text) for replacement in self.replacements])
        first = np.searchsorted(self.places + lengths, [start for start, _ in spans])
        stop = np.searchsorted(self.places, [end for _, end in spans], side="right")
        return {index for begin, end in zip(first.tolist(), stop.tolist(), strict=True) for index in range(begin, end)}


class _Guard(ABC):
    """Protects spans of one kind.

    Attributes:
        margin: Number of characters on either side of a span that are not edited either.
    """

    margin = 0

    @abstractmethod
    def spans(self, text: str) -> list[Span]:
        """Return the first character of each span, and one past its last; ascending, not overlapping."""

    def protected(self, text: str, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """See `Guards.protected`."""
        spans = [(max(first - self.margin, 0), stop + self.margin) for first, stop in self.spans(text)]
        return overlapping(spans, starts, ends)

    def expected(self, spans: list[Span], edited: _Edited) -> set[Span]:
        """Return which spans an edited text should have, given those of the text before."""
        return edited.moved(spans)


class _Pattern(_Guard):
    """Protects matches of a pattern, with a margin of one character so that no edited token can extend a match."""

    margin = 1

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def spans(self, text: str) -> list[Span]:
        return [match.span() for match in self._pattern.finditer(text) if match.start() < match.end()]


class _Names(_Guard):
    """Protects names."""

    def spans(self, text: str) -> list[Span]:
        return names(text)


class _Code(_Guard):
    """Protects code and markup."""

    margin = 1

    def spans(self, text: str) -> list[Span]:
        return code(text)


class _Words(_Guard):
    """Protects word structure: a token that is a whole word or punctuation may be replaced; all others stay."""

    def spans(self, text: str) -> list[Span]:
        return segments(text)

    def protected(self, text: str, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        boundaries = WordBoundaries(text)
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        return np.array([not self._is_whole(text, start, end, boundaries) for start, end in spans], dtype=bool)

    def _is_whole(self, text: str, start: int, end: int, boundaries: WordBoundaries) -> bool:
        shape = shape_of(text[start:end])
        if shape is None:
            return False
        first, last = start + len(shape.before), end - len(shape.after)
        if shape.kind == "punctuation" and not stands_apart(text, first, last):
            return False
        return boundaries.are_around(first, last)

    def expected(self, spans: list[Span], edited: _Edited) -> set[Span]:
        made = {
            (place + start, place + end)
            for place, replacement in zip(edited.places.tolist(), edited.replacements, strict=True)
            for start, end in segments(replacement.text)
        }
        return edited.moved(spans) | made


def overlapping(spans: Sequence[Span], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return which tokens have a character in one of the spans; bool `[n]`."""
    inside = np.zeros(int(ends.max(initial=0)) + 1, dtype=np.int64)
    for first, stop in spans:
        inside[first + 1 : stop + 1] = 1
    counts = np.cumsum(inside)  # number of such characters before each position
    return counts[ends] > counts[starts]


def _guard(name: str) -> _Guard:
    own: dict[str, type[_Words | _Names | _Code]] = {"words": _Words, "names": _Names, "code": _Code}
    return own[name]() if name in own else _Pattern(protect_regex(name))
