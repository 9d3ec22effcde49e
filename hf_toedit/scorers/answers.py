"""Whether a text is right, by a reference: the rules of verifiers. Pure."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_NUMBER = re.compile(
    r"(?<![\w.])[-+]?\$?\s?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\d))?"
    r"(?:\s?/\s?\d+(?:\.\d+)?(?![\d/]))?"
    r"|(?<![\w.])[-+]?\$?\.\d+"
)
"""A number as people write it: `1,234.5`, `-$3`, `3/4`, `.5`, `2e-5`; a minus that joins words is not its sign."""

_FINAL = re.compile(r"####\s*(.+)|\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_SAID = re.compile(r"(?:\banswer\s*(?:is|:|=)|^\s*A\s*:)\s*(.+)", re.IGNORECASE | re.MULTILINE)
_LATEX_FRACTION = re.compile(r"\\d?frac\s*\{\s*(-?[\d.]+)\s*\}\s*\{\s*([\d.]+)\s*\}")
_SIGNS = str.maketrans({"\u2212": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-"})


def is_exact(text: str, reference: str) -> bool:
    """Whether a text is the reference, whitespace around both and the form of Unicode (NFC) left aside."""
    return _plain(text) == _plain(reference)


def numbers(text: str) -> list[Fraction]:
    """The numbers in a text, in order."""
    text = _LATEX_FRACTION.sub(r"\1/\2", text.translate(_SIGNS))
    return [found for match in _NUMBER.finditer(text) if (found := _value(match[0])) is not None]


def numeric_error(text: str, reference: str) -> float | None:
    """The relative L1 error of the numbers of a text: sum |a - b| / sum |b| over those of the reference, b, in order.

    Feng et al. 2024 (arXiv 2406.07515), Appendix B, verify so whether a model's eigenvalues are right.

    Returns:
        The error; infinity where the text has another number of them, or b is 0 and a is not. None where the reference
        has none.
    """
    wanted, found = numbers(reference), numbers(text)
    if not wanted:
        return None
    if len(found) != len(wanted):
        return float("inf")
    difference = sum(abs(a - b) for a, b in zip(found, wanted, strict=True))
    size = sum(abs(b) for b in wanted)
    return float(difference / size) if size else float("inf") if difference else 0.0


def math_answer(text: str) -> Fraction | None:
    r"""The final answer of a text; None where it has no number.

    It stands behind the last `####` (as in GSM8K), in the last `\boxed{}`, or behind the last "answer is", "answer:" or
    "A:"; or else it is the last number.
    """
    for pattern, place in ((_FINAL, 0), (_SAID, 0), (None, -1)):
        matches = [] if pattern is None else pattern.finditer(text)
        parts = [next(filter(None, match.groups()), "") for match in matches] if pattern else [text]
        if parts and (found := numbers(parts[-1])):
            return found[place]
    return None


def is_math_answer(text: str, reference: str) -> bool | None:
    """Whether the final answers of text and reference are the same number; None where the reference has none."""
    wanted = math_answer(reference)
    return None if wanted is None else math_answer(text) == wanted


def _value(written: str) -> Fraction | None:
    plain = re.sub(r"[$,\s]", "", written)
    try:
        over, slash, under = plain.partition("/")
        return Fraction(over) / Fraction(under) if slash else Fraction(over)
    except (ValueError, ZeroDivisionError):
        return None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
