"""Text that others wrote, made harmless for the place it goes to: one function a context."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#~$&!]|:(?=//)|(?<=[Ww]{3})\.")
"""Characters that mean something, those of a bare address among them, which GitHub makes a link of, escapes and all."""


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


def shell(words: Iterable[str]) -> str:
    """A command for bash, on one line whatever its words hold."""
    return " ".join(shlex.quote(word) if word.isprintable() else _ansi_c(word) for word in words)


def percent(share: float | None) -> str:
    """A share as people write it; nothing where it is not known."""
    return "" if share is None else f"{share:.2%}"


def url(path: str) -> str:
    """A path as links have it."""
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
