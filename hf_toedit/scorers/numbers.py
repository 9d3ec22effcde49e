r"""Numbers in texts: all numbers in order, and the answer to a school mathematics question.

A minus sign belongs to a number unless it follows a digit, a Latin letter or `)`: `5-3` contains 5 and 3, `x = -3`
contains -3. Digits after a Latin letter (`x2`) are not a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

_LONGEST = 1000
"""Maximum number of characters of a number; longer ones are skipped, because Python's conversion is not linear."""

_START = r"(?:(?<![A-Za-z\d)])[-+])?(?<![A-Za-z\d])(?<!\d\.)"
_NUMBER = re.compile(_START + r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
_EXACT = re.compile(
    _START + r"(?:(?<!/)\d+/0*[1-9]\d*(?![\d/]|\.\d)"
    r"|(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}(?!\d))?)"
)

_MINUS_BEFORE_MONEY = re.compile(r"(?<![A-Za-z\d)])-\s?([$€£¥])\s?(?=[\d.])")
_FRAC = r"\\[dt]?frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
_LATEX = (
    (re.compile(r"(?<=\d)" + _FRAC), r" \1\2/\3\4"),
    (re.compile(_FRAC), r"\1\2/\3\4"),
    (re.compile(r"(?<=\d)\s*(?:\\times|\\cdot|[×·*])\s*10\^(?:\{\s*([-+]?\d{1,3})\s*\}|([-+]?\d{1,3}))"), r"e\1\2"),
    (re.compile(r"\^(?:\{[^{}]*\}|-?\d+)"), "^"),  # an exponent, as of a unit, is not an answer
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[!,;: ]"), ""),
    (re.compile(r"\\([$%])"), r"\1"),
)

_MINUS = str.maketrans("−–", "--")
_VULGAR = re.compile(r"(\d ?)?([¼-¾⅐-⅞])")
_MIXED = re.compile(r"(?<![A-Za-z\d.,/^])(\d{1,18}) (\d{1,18})/(\d{1,18})(?![\d/]|\.\d)")

_BOXED = r"\boxed{"
_ANSWER_IS = re.compile(r"\banswer\s+is\b", re.IGNORECASE)


def numbers(text: str) -> list[float]:
    """Return all numbers of a text, in order. A comma always separates numbers."""
    return [float(found) for found in _found(_NUMBER, text.translate(_MINUS))]


def math_answer(text: str) -> Fraction | None:
    r"""Return the number that a solution gives as its answer, as an exact fraction; None if there is none.

    The first number after the last `####`; without it, the last one in the last `\boxed{}`; else the first one after
    the last `answer is`; else the last number of the text. `1,234.50`, `3/4`, `\frac{3}{4}`, `1 3/4`,
    `1\frac{3}{4}`, `1¾`, `1e-07` and `1 \times 10^{-7}` are one number each, and the 2 of `x^2` is none; currency and
    percent signs are ignored, so that `50%` is 50.
    """
    text = _VULGAR.sub(_spelled, text.translate(_MINUS))
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    text = _MINUS_BEFORE_MONEY.sub(r"\1-", _MIXED.sub(_improper, text))
    for part, at in _parts(text):
        if found := list(_found(_EXACT, part)):
            return Fraction(found[at].replace(",", ""))
    return None


def _spelled(vulgar: re.Match[str]) -> str:
    """Return a fraction of one character in digits: `1 3/4` for `1¾`."""
    fraction = unicodedata.normalize("NFKC", vulgar[2]).replace("⁄", "/")
    return f"{vulgar[1].strip()} {fraction}" if vulgar[1] else fraction


def _improper(mixed: re.Match[str]) -> str:
    """Return a mixed number as one fraction: `7/4` for `1 3/4`."""
    whole, above, below = map(int, mixed.groups())
    return f"{whole * below + above}/{below}" if above < below else mixed[0]


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """Yield where the answer may be, best first: a part of the text, and the index of the number in it, 0 or -1."""
    _, mark, after = text.rpartition("####")
    if mark:
        yield after, 0
    _, mark, after = text.rpartition(_BOXED)
    if mark:
        yield _in_braces(after), -1
    for found in [*_ANSWER_IS.finditer(text)][-1:]:
        yield text[found.end() :], 0
    yield text, -1


def _in_braces(text: str) -> str:
    """Return a text up to the brace that closes the one before it."""
    depth = 1
    for at, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return text[:at]
    return text


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for found in pattern.finditer(text):
        if len(found[0]) <= _LONGEST:
            yield found[0]
