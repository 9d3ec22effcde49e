"""Names in a text, as far as capitals mark them; scripts without capitals have none."""

from __future__ import annotations

import regex

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}\p{Nd}]*(?:['’-]\p{L}[\p{L}\p{M}\p{Nd}]*)*")
_CAPITAL = regex.compile(r"[\p{Lu}\p{Lt}]")
_BEFORE = 60
"""Number of characters before a word that decide whether it begins a sentence."""

_ABBREVIATION = r"\b(?:\p{Lu}|Mrs?|Ms|Dr|Prof|St|Sr|Jr|Gen|Col|Lt|Capt|Rev|Hon|Mt|Ft|[Vv]s|No|Fig|cf|\p{L}\.\p{L})"
_ENDS_ABBREVIATED = regex.compile(_ABBREVIATION + r"\Z", regex.REVERSE)
_SENTENCE_START = regex.compile(
    rf"""(?: \A\s*                                           # A text begins here,
          | (?<!{_ABBREVIATION}) [.!?…。！？] ["'”’»)\]]* \s+  # a sentence,
          | \n[^\S\n]*\n\s*                                 # a paragraph,
          | ^[^\S\n]*(?:[-*•·\#>|]+|\d{{1,3}}[.)])\s+       # an item of a list, a heading,
          | ["“„«‘(\[{{*_]                                  # or a quotation.
        )\Z""",
    regex.VERBOSE | regex.MULTILINE | regex.REVERSE,
)
_PARTICLES = frozenset(
    "of the de du la le les del della dello di da dos das do van von der den ten ter zu bin ibn al el y".split()
)
_MAX_PARTICLES = 2


def names(text: str) -> list[tuple[int, int]]:
    """Return the first character of each name, and one past its last.

    A name is a word with a capital in mid-sentence (except "I"), or with a capital after its first letter anywhere. The
    first word of a sentence is a name if it is such a name elsewhere in the text, or if another name follows directly.
    Adjacent names are joined, with particles between them ("University of California").
    """
    words = [match.span() for match in _WORD.finditer(text)]
    certain = [_is_certain(text, *word) for word in words]
    known = {text[start:end] for (start, end), is_name in zip(words, certain, strict=True) if is_name}
    found = []
    last: tuple[int, int] | None = None
    for word, is_name in zip(reversed(words), reversed(certain), strict=True):
        begins_one = last is not None and _may_begin(text, *word) and _adjoin(text, word, last)
        if is_name or begins_one or (_may_begin(text, *word) and text[word[0] : word[1]] in known):
            found.append(word)
            last = word
        else:
            last = None
    return _joined(text, found[::-1])


def _may_begin(text: str, start: int, end: int) -> bool:
    """Whether a word begins with a capital, and is not "I", "I'm", …."""
    return _CAPITAL.match(text, start) is not None and not (text[start] == "I" and text[start + 1 : end][:1] in "'’")


def _is_certain(text: str, start: int, end: int) -> bool:
    if _CAPITAL.search(text, start + 1, end):
        return True
    return _may_begin(text, start, end) and not _SENTENCE_START.search(text, max(start - _BEFORE, 0), start)


def _joined(text: str, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join names that are separated only by a space, a hyphen or particles."""
    joined: list[tuple[int, int]] = []
    for start, end in found:
        if joined and (_adjoin(text, joined[-1], (start, end)) or _are_particles(text[joined[-1][1] : start])):
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def _adjoin(text: str, before: tuple[int, int], behind: tuple[int, int]) -> bool:
    """Whether two words can belong to one name: with a space between them, a hyphen, or the period of an initial."""
    between = text[before[1] : behind[0]]
    return between in (" ", "-") or (between in (". ", ".") and bool(_ENDS_ABBREVIATED.search(text, 0, before[1])))


def _are_particles(between: str) -> bool:
    particles = between.split()
    return between[:1] == between[-1:] == " " and len(particles) <= _MAX_PARTICLES and _PARTICLES.issuperset(particles)
