"""A report as one HTML file: all text is escaped, and the file is self-contained."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

from hypothesis import given, strategies

from hf_toedit.analysis.page import html_report
from hf_toedit.cards.escape import code, markdown
from hf_toedit.cards.tables import table

PNG = b"\x89PNG\r\n"


class Shown(HTMLParser):
    """Parser that collects the tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pictures_are_in_it() -> None:
    page = html_report("# Title\n\n![What it shows](assets/a.png)\n", {"assets/a.png": PNG}, "Title")
    [(_, picture)] = [found for found in Shown(page).tags if found[0] == "img"]
    assert picture == {"alt": "What it shows", "src": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}
    assert "img-src data:" in page and not re.search(r"https?://|url\(|@import|<script|<link", page)


def test_tables_have_columns_of_numbers_and_no_styles_of_their_own() -> None:
    """The page allows only its own style sheet; wide tables can be scrolled with the keyboard."""
    page = html_report(table(("name", "figure"), [(code("a|b"), "1.5")]), {}, "Title")
    shown = Shown(page)
    assert [attrs for tag, attrs in shown.tags if tag == "td"] == [{}, {"class": "number"}]
    assert not any("style" in attrs for _, attrs in shown.tags)
    assert [attrs["tabindex"] for tag, attrs in shown.tags if tag == "div"] == ["0"]
    assert "a|b" in shown.text


@given(
    strategies.text(), strategies.sampled_from(["<script>alert(1)</script>", "![x](//a.b/c.png)", "[x](y)", "</code>"])
)
def test_what_is_from_data_is_text(odd: str, mark: str) -> None:
    text = f"{odd}{mark}"
    page = html_report(f"# A\n\n{table(('x', 'y'), [(code(text), markdown(text))])}\n", {}, "Title")
    assert {tag for tag, _ in Shown(page).tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "div", "table", "thead", "tbody", "tr", "th",
        "td", "code",
    }  # fmt: skip


def test_html_in_the_markdown_is_text() -> None:
    shown = Shown(html_report("<b>x</b> <code>y</code>\n\n<div>\n\n<script>z</script>\n", {}, "Title"))
    assert not {"b", "script"} & {tag for tag, _ in shown.tags} and "<script>z</script>" in shown.text
