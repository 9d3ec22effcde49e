"""A report as one HTML file: its Markdown, with the pictures in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from hf_toedit.cards.page import page

if TYPE_CHECKING:
    from markdown_it.token import Token

_TAGS = ("<code>", "</code>")
"""The only HTML in the Markdown of a report; any other is text."""

_WIDE = '<div class="wide" role="region" aria-label="{}" tabindex="0">'
"""Around what may be wider than a phone, and is then moved by a finger or by the arrow keys."""


def html_report(markdown: str, pictures: Mapping[str, bytes], title: str) -> str:
    """The report as a page that needs no network and no script, in light and dark.

    Args:
        markdown: As `markdown_report` gave it.
        pictures: PNG files, by the paths that the Markdown has.
        title: Of the page.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable("table").disable("html_block")
    tokens = _adapted(parser.parse(markdown), pictures)
    css = (files("hf_toedit.analysis") / "assets" / "report.css").read_text(encoding="utf-8")
    return page(title, css, f"<main>\n{parser.renderer.render(tokens, parser.options, {})}</main>\n")


def _adapted(tokens: Sequence[Token], pictures: Mapping[str, bytes]) -> list[Token]:
    """Without styles of their own, which the page forbids, and with pictures instead of their paths."""
    from markdown_it.token import Token

    found: list[Token] = []
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"
        for child in token.children or ():
            if child.type == "html_inline" and child.content not in _TAGS:
                child.type = "text"  # which is escaped
            elif child.type == "image":
                _embed(child, pictures)
        wide = "Table" if token.type.startswith("table_") else "Picture" if _is_picture(token) else None
        if wide and token.type != "table_close":
            found.append(Token("html_block", "", 0, content=_WIDE.format(wide)))
        found.append(token)
        if wide and token.type != "table_open":
            found.append(Token("html_block", "", 0, content="</div>\n"))
    return found


def _is_picture(token: Token) -> bool:
    return [child.type for child in token.children or ()] == ["image"]


def _embed(image: Token, pictures: Mapping[str, bytes]) -> None:
    content = pictures[str(image.attrs["src"])]
    image.attrs["src"] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
