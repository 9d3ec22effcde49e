"""Where words begin and end: Unicode's default word boundaries (UAX #29).

Thai, Lao, Khmer, Burmese and their relatives (Line_Break=SA) have no spaces between words, and only a dictionary can
separate them: here a run of their letters is one word. A Chinese or Japanese character has boundaries on both sides,
so every token of whole characters is a word.
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
_PUNCTUATION = regex.compile(r"(?:(?![*_#/\\&%@-])\p{P})+")
"""Punctuation of sentences, without marks that are more often part of markup, lists and addresses."""

_CHUNK = re.compile(r"\s?\S+")
"""A boundary depends on nothing beyond the surrounding spaces, except for a mark that a space carries."""


class WordBoundaries:
    """Finds where the words of a text begin and end; evaluates only the surroundings of the requested places."""

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
    """Return the first character of each word or punctuation mark, and one past its last; spaces are left out."""
    found = _boundaries(text)
    return [(start, end) for start, end in zip(found, found[1:], strict=False) if not text[start:end].isspace()]


class Shape(NamedTuple):
    """The form of a token in a text; a word may only be replaced with another of the same shape.

    Attributes:
        before: Spaces at its beginning.
        kind: What is between the spaces; an unspaced word consists of Chinese or Japanese characters.
        after: Spaces at its end.
    """

    before: str
    kind: Literal["word", "unspaced word", "punctuation"]
    after: str


@lru_cache(maxsize=1 << 18)
def shape_of(surface: str) -> Shape | None:
    """Return the shape of a token that is one word, or punctuation alone; None for others, with a digit or symbol."""
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
    """Whether a punctuation span is complete in its place and joins no words, unlike the hyphen of `well-known`."""
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
