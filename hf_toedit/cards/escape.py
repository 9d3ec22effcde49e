"""Text that others wrote, made harmless for the place it goes to: one function a context."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#~$&!]")


class Markdown(str):
    """Markdown that may stand in a card as it is; the template escapes every other string."""


def printable(text: str) -> str:
    """Text that cannot move the cursor or turn the line: control and direction characters are written out."""
    return "".join(_visible(character) for character in text)


def markdown(text: object) -> Markdown:
    """Words of a paragraph, a heading, a link or a table cell; not at the beginning of a line."""
    if isinstance(text, Markdown):
        return text
    return Markdown(_MARKDOWN.sub(r"\\\g<0>", printable(str(text))).replace("|", "&#124;"))


def code(text: object) -> Markdown:
    """The same in the font of code; a span of backticks could not hold every text in a table."""
    return Markdown(f"<code>{markdown(text)}</code>")


def html(text: str) -> Markdown:
    """Words of an HTML block or attribute, on one line."""
    return Markdown(escape(printable(text)))


def fenced(text: str, language: str) -> Markdown:
    """Lines of code, fenced by more backticks than they hold."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markdown("\n".join([fence + language, *(printable(line) for line in text.split("\n")), fence]))


def literal(text: str) -> str:
    """A string of Python."""
    written = repr(text)
    return f'"{written[1:-1]}"' if written.startswith("'") and '"' not in written else written


def url(path: str) -> str:
    """A path as links have it."""
    return quote(path, safe="/-_.~")


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS or character == "\u00a0":
        return character
    return {"\n": "⏎", "\t": "⇥"}.get(character) or character.encode("unicode_escape").decode()
