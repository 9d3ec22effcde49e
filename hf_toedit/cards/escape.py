"""Escaping of untrusted text: one function per context."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#~$&!]|:(?=//)|(?<=[Ww]{3})\.")
"""Characters with a meaning in Markdown, including those of bare addresses, which GitHub links even if escaped."""


class Markdown(str):
    """Markdown that is inserted into a card unchanged; templates escape every other string."""


def printable(text: str) -> str:
    """Return text that cannot move the cursor or change the direction: control characters are spelled out."""
    return "".join(_visible(character) for character in text)


def markdown(text: object) -> Markdown:
    """Escape text of a paragraph, heading, link or table cell; not for the beginning of a line."""
    if isinstance(text, Markdown):
        return text
    return Markdown(_MARKDOWN.sub(r"\\\g<0>", printable(str(text))).replace("|", "&#124;"))


def code(text: object) -> Markdown:
    """Escape text and set it as code; in a table, a span of backticks cannot hold every text."""
    return Markdown(f"<code>{markdown(text)}</code>")


def html(text: str) -> Markdown:
    """Escape text of an HTML block or attribute, on one line."""
    return Markdown(escape(printable(text)))


def fenced(text: str, language: str) -> Markdown:
    """Fence lines of code with more backticks than they contain."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown("\n".join([fence + language, *(printable(line) for line in text.split("\n")), fence]))


def literal(text: str) -> str:
    """Return a Python string literal."""
    written = repr(text)
    return f'"{written[1:-1]}"' if written.startswith("'") and '"' not in written else written


def shell(words: Iterable[str]) -> str:
    """Return a bash command on one line, whatever characters its words contain."""
    return " ".join(shlex.quote(word) if word.isprintable() else _ansi_c(word) for word in words)


def percent(share: float | None) -> str:
    """Format a share as a percentage; empty if unknown."""
    return "" if share is None else f"{share:.2%}"


def url(path: str) -> str:
    """Quote a path for links."""
    return quote(path, safe="/-_.~")


def _ansi_c(word: str) -> str:
    kept = "".join(
        f"\\{character}" if character in "\\'" else character if character.isprintable() else _code_point(character)
        for character in word
    )
    return f"$'{kept}'"


def _code_point(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t"}.get(character) or f"\\U{ord(character):08x}"


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS or character == "\u00a0":
        return character
    return {"\n": "⏎", "\t": "⇥"}.get(character) or character.encode("unicode_escape").decode()
