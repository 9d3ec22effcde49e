"""A report as one HTML file: its Markdown, with embedded pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from hf_toedit.cards.page import page

if TYPE_CHECKING:
    from markdown_it.token import Token

_TAGS = ("<code>", "</code>")
"""The only HTML tags in the Markdown of a report; any other is text."""

_WIDE = '<div class="wide" role="region" aria-label="{}" tabindex="0">'
"""Wraps content that may be wider than a phone, so that it scrolls by touch or arrow keys."""


def html_report(markdown: str, pictures: Mapping[str, bytes], title: str) -> str:
    """Return the report as a page without network requests or scripts, with a light and a dark theme.

    Args:
        markdown: Output of `markdown_report`.
        pictures: PNG files, by their paths in the Markdown.
        title: Title of the page.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable("table").disable("html_block")
    tokens = _adapted(parser.parse(markdown), pictures)
    css = (files("hf_toedit.analysis") / "assets" / "report.css").read_text(encoding="utf-8")
    return page(title, css, f"<main>\n{parser.renderer.render(tokens, parser.options, {})}</main>\n")


def _adapted(tokens: Sequence[Token], pictures: Mapping[str, bytes]) -> list[Token]:
    """Return tokens without inline styles, which the page forbids, and with pictures instead of their paths."""
    from markdown_it.token import Token

    found: list[Token] = []
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":
            token.attrs["class"] = "number"
        for child in token.children or ():
            if child.type == "html_inline" and child.content not in _TAGS:
                child.type = "text"  # the renderer escapes text
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
