"""The kind of place of a token: a number, a whole word, a part of a word, ….

For a curator, a changed digit differs from a changed word, so statistics, cards and previews distinguish the kinds.
The kind is that of the source token in its text, regardless of its replacement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hf_toedit.editing.code import code
from hf_toedit.editing.guards import Span, overlapping
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.words import WordBoundaries, has_numeral
from hf_toedit.protect import protect_regex

_MARKUP = [
    *map(protect_regex, ("math", "urls", "emails")),
    re.compile(r"</?[A-Za-z][^<>\n]{0,1000}>|&(?:#\d+|#x[0-9A-Fa-f]+|[A-Za-z]\w{1,31});"),
]
_NUMBER = [protect_regex("numbers")]


def kinds_of(text: str, starts: np.ndarray, ends: np.ndarray) -> list[str]:
    """Return the kind of each token: the first of these that applies.

    1. `code`: it overlaps code (see `code.py`), math, an address (URL, e-mail), an HTML tag or entity.
    2. `number`: it overlaps a number, or contains a numeral.
    3. `whitespace`: it contains nothing else.
    4. `inside_word`: without surrounding spaces, it does not begin and end at word boundaries (see `words`).
    5. `punctuation`: it has no letter. Symbols and emoji count as punctuation.
    6. `capitalised_word`: its first letter is a capital.
    7. `whole_word`: all others.

    Args:
        text: The text of the tokens.
        starts: int `[m]`, first character of each token.
        ends: int `[m]`, one past the last character of each token.

    Returns:
        `m` keys of `place_kinds.KINDS`.
    """
    if len(starts) == 0:
        return []
    boundaries = WordBoundaries(text)
    in_code = overlapping([*code(text), *_found(_MARKUP, text)], starts, ends)
    in_number = overlapping(_found(_NUMBER, text), starts, ends)
    return [
        "code" if is_code else "number" if is_number else _kind(text, int(start), int(end), boundaries)
        for start, end, is_code, is_number in zip(starts, ends, in_code, in_number, strict=True)
    ]


def kinds_of_edits(table: PieceTable) -> list[str]:
    """Return the kind of each place in which a text differs from its source, as it was in the source."""
    starts, shift = [], 0
    for edit in table.edits:
        starts.append(edit.start + shift)
        shift += len(edit.source) - (edit.end - edit.start)
    ends = [start + len(edit.source) for start, edit in zip(starts, table.edits, strict=True)]
    return kinds_of(table.revert(), np.array(starts, int), np.array(ends, int))


def _kind(text: str, start: int, end: int, boundaries: WordBoundaries) -> str:
    token = text[start:end]
    core = token.strip()
    if not core:
        return "whitespace"
    if has_numeral(core):
        return "number"
    first = start + token.index(core)
    if not boundaries.are_around(first, first + len(core)):
        return "inside_word"
    letter = next(filter(str.isalpha, core), None)
    if letter is None:
        return "punctuation"
    return "capitalised_word" if letter.isupper() or letter.istitle() else "whole_word"


def _found(patterns: Sequence[re.Pattern[str]], text: str) -> list[Span]:
    """Return all matches of the patterns."""
    return [match.span() for pattern in patterns for match in pattern.finditer(text)]
