"""Where words begin and end: Unicode's default word boundaries (UAX #29).

Thai, Lao, Khmer, Burmese and their relatives (Line_Break=SA) have no spaces between words, and only a dictionary tells
the words apart: a run of their letters is one word here. A Chinese or Japanese character has boundaries on both sides,
so that every token of whole characters is a word.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from typing import Literal, NamedTuple

import regex

_BOUNDARY = regex.compile(r"(?w)\b")
_WITHIN_RUN = regex.compile(r"(?<=\p{Line_Break=SA}\p{Mark}*)(?=\p{Line_Break=SA})")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー々〆]+")
_PUNCTUATION = regex.compile(r"\p{P}+")
_CHUNK = re.compile(r"\s?\S+")
"""A boundary depends on nothing beyond the spaces around it, but for a mark that a space carries."""


class WordBoundaries:
    """Tells where the words of a text begin and end; looks only around the places that it is asked about."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._chunks = [match.span() for match in _CHUNK.finditer(text)]
        self._boundaries: dict[int, frozenset[int]] = {}

    def are_around(self, start: int, end: int) -> bool:
        """Whether a span has a boundary on both sides; neither its first nor its last character may be a space."""
        return self._is_at(start, start) and self._is_at(end, end - 1)

    def _is_at(self, position: int, neighbour: int) -> bool:
        number = bisect_right(self._chunks, (neighbour, len(self._text))) - 1
        first, stop = self._chunks[number]
        if number not in self._boundaries:
            self._boundaries[number] = frozenset(_boundaries(self._text[first:stop]))
        return position - first in self._boundaries[number]


def segments(text: str) -> list[tuple[int, int]]:
    """First character of each word or mark of punctuation, and one past its last; spaces are in none."""
    found = _boundaries(text)
    return [(start, end) for start, end in zip(found, found[1:], strict=False) if not text[start:end].isspace()]


class Shape(NamedTuple):
    """What a token looks like in a text; one word may stand only for another of the same shape.

    Attributes:
        before: spaces that it begins with.
        kind: what is between the spaces; an unspaced word is one in Chinese or Japanese characters.
        after: spaces that it ends with.
    """

    before: str
    kind: Literal["word", "unspaced word", "punctuation"]
    after: str


@lru_cache(maxsize=1 << 18)
def shape_of(surface: str) -> Shape | None:
    """The shape of a token that is one word, or punctuation alone; None for any other: with a digit, or a symbol."""
    core = surface.strip()
    if not core or has_numeral(core):
        return None
    first = surface.index(core)
    before, after = surface[:first], surface[first + len(core) :]
    if not any(map(str.isalpha, core)):
        return Shape(before, "punctuation", after) if _PUNCTUATION.fullmatch(core) else None
    if _UNSPACED.fullmatch(core):
        return Shape(before, "unspaced word", after)
    return Shape(before, "word", after) if len(_boundaries(core)) == 2 else None


def stands_apart(text: str, start: int, end: int) -> bool:
    """Whether a span of punctuation is all of it in its place, and joins no words: not the hyphen of `well-known`."""
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    beside = [character for character in (before, after) if character and not character.isspace()]
    return all(map(str.isalnum, beside)) and len(beside) < 2


def has_numeral(text: str) -> bool:
    """Whether a text has a digit or another numeral, such as a fraction; Chinese numerals are letters."""
    return any(character.isnumeric() and not character.isalpha() for character in text)


def _boundaries(text: str) -> list[int]:
    found = {match.start() for match in _BOUNDARY.finditer(text)}
    found -= {match.start() for match in _WITHIN_RUN.finditer(text)}
    return sorted(found | {0, len(text)})
