"""Names that `protect` accepts: patterns of spans, and guards that need more than a pattern."""

from __future__ import annotations

import re

from hf_toedit.errors import UsageError, did_you_mean

_MONTHS = (
    r"(?:Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?|July?|Aug(?:ust|\.)?"
    r"|Sep(?:t(?:\.|ember)?|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?"
    r"|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember"
    r"|janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
    r"|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    r"|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre"
    r"|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro"
    r"|januari|februari|maart|mei|augustus|oktober)"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th|er|\.)?"
_YEAR = r"\d{4}"

PROTECT_PATTERNS: dict[str, str] = {
    "numbers": r"[+-]?\d+(?:[.,:/]\d+)*(?:[eE][+-]?\d+)?%?",
    "dates": "|".join(
        [
            rf"\b{_DAY}\s(?:of\s|de\s)?{_MONTHS}(?:,?\s(?:de\s|del\s)?{_YEAR})?\b",
            rf"\b{_MONTHS}\s{_DAY}(?:\s?[-–]\s?{_DAY})?(?:,?\s{_YEAR})?\b",
            rf"\b{_MONTHS},?\s(?:of\s|de\s)?{_YEAR}\b",
            r"\b(?:January|February|April|June|July|August|September|October|November|December)\b",
            r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b",
            r"\b\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?\b",
            r"\b\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b",
            r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\b\.?)?|\b\d{1,2}\s?[AaPp]\.?[Mm]\b\.?",
            r"\b\d{1,2}(?:st|nd|rd|th)(?:[-\s](?:and|to|or)[-\s]\d{1,2}(?:st|nd|rd|th))?[-\s]centur(?:y|ies)\b",
            r"\b\d{1,4}\s?(?:BC|AD|BCE|CE)\b|\bAD\s\d{1,4}\b",
            r"\b(?:1\d|20)\d\ds?(?:[-–]\d{2,4})?\b|['’]\d\ds?\b",
            r"[\d〇一二三四五六七八九十]{1,4}\s?[年月日]|\d{1,4}\s?[년월일]",
        ]
    ),
    "quotes": "|".join(
        [
            r"(?m:^[ \t]*>[^\n]*$)",
            *(
                rf"(?s:{begin}(?:(?!\n[ \t]*\n)[^{begin}{end}])+{end})"
                for begin, end in map(tuple, ["“”", "„“", "„”", "«»", "»«", "「」", "『』", '""'])
            ),
        ]
    ),
    "urls": r"(?:https?|ftp)://[^\s<>\"']+|www\.[^\s<>\"']+",
    "emails": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "code": r"(?ms:^[ \t]*(`{3,}(?=[^`\n]*$)|~{3,}).*?(?:^[ \t]*\1|\Z))"
    r"|(?s:(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\2(?!`))",
    "math": r"(?s:\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|(?P<env>\\begin\{(?P<name>\w+\*?)\}.*?\\end\{(?P=name)\}))"
    r"|(?<![\\$])\$(?![\s$])(?:\\.|[^$\\\n])+?(?<!\s)\$(?!\d)",
    "handles": r"(?<![\w@])@\w[\w.-]*(?:@[\w-]+(?:\.[\w-]+)+)?",
}
"""Patterns of spans by name, for `protect`. Any other pattern is given as `re:PATTERN`."""

GUARDS = ("words", "names", *PROTECT_PATTERNS)
"""All names that `protect` accepts; `words`, `names` and `code` use more than a pattern."""


def check_protect(name: str) -> None:
    """Refuse an unknown entry of `protect`.

    Raises:
        UsageError: The entry is neither one of `GUARDS` nor a valid `re:PATTERN`.
    """
    if name not in GUARDS:
        protect_regex(name)


def protect_regex(pattern: str) -> re.Pattern[str]:
    """Compile an entry of `protect` that is a pattern.

    Raises:
        UsageError: The entry is neither a known name nor a valid `re:PATTERN`.
    """
    if pattern in PROTECT_PATTERNS:
        return re.compile(PROTECT_PATTERNS[pattern])
    if not pattern.startswith("re:"):
        raise UsageError(
            f"unknown protect pattern {pattern!r}.{did_you_mean(pattern, GUARDS)} "
            f"A regular expression is written 're:PATTERN'."
        )
    if pattern == "re:":
        raise UsageError("protect pattern 're:' is empty and protects nothing. Write the expression after the colon.")
    try:
        return re.compile(pattern[3:])
    except re.error as error:
        raise UsageError(f"protect pattern {pattern!r} is not a valid regular expression: {error}.") from error
