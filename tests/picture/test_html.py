"""Pages and their fragments: texts are escaped, nothing is loaded from other hosts, and the contrast is sufficient."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit import EditConfig, ToEditor
from hf_toedit.cards.escape import printable
from hf_toedit.editing.kinds import kinds_of_edits
from hf_toedit.editing.piece_table import Edit, PieceTable
from hf_toedit.picture import html
from hf_toedit.picture.data import Gallery
from hf_toedit.picture.words import is_invisible, spelled
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import EditStats
from tests.picture.conftest import HOSTILE

CONFIG = EditConfig(threshold=0.9, temperature=4.0)
VOID = {"meta"}


class Parsed(HTMLParser):
    """Parser that collects tags with their attributes, and the text of each element of a class."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.removed: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "te-text" in (dict(attrs).get("class") or "") or "te-diff" in (dict(attrs).get("class") or ""):
            self.texts.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.texts and "ins" not in self.open:
            self.texts[-1] += data


def shown(text: str) -> str:
    """Return a text as a page shows it."""
    return "⏎\n".join(map(printable, text.split("\n")))


@given(st.text(st.characters(exclude_categories=())))
def test_escaped_text_is_text_alone(text: str) -> None:
    found = html.escaped(text)
    assert not set(found) & set("<>\"'$`{}\\")
    assert "&" not in re.sub(r"&(?:#x?[0-9a-f]+|amp|lt|gt|quot);", "", found)
    parsed = Parsed(f'<p class="te-text" title="{found}">{found}</p>')
    assert parsed.texts == [shown(text)] == [parsed.tags[0][1]["title"]]
    assert all(character.isprintable() or character in "\n\xa0\u200c\u200d" for character in found)
    found.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a href=\"x\" b='y'>&", "&lt;a href=&quot;x&quot; b=&#x27;y&#x27;&gt;&amp;"),
        ("${a} {{b}} `c` \\d", "&#36;&#123;a&#125; &#123;&#123;b&#125;&#125; &#96;c&#96; &#92;d"),
        ("a\r\n\tb\x00\u202e\ud800", "a&#92;r⏎\n⇥b&#92;x00&#92;u202e&#92;ud800"),
        ("👩‍👩‍👧 你好", "👩‍👩‍👧 你好"),
    ],
)
def test_escaped(text: str, expected: str) -> None:
    assert html.escaped(text) == expected


def fragments(gallery: Gallery) -> list[str]:
    frames = [html.frame_html(frame, CONFIG) for picture in gallery.pictures for frame in picture.frames]
    tables = [frame.document.table for picture in gallery.pictures for frame in picture.frames]
    diffs = [html.diff_html(table) for table in tables if table]
    figures = [html.generations_html(gallery.stats), html.histogram_html(gallery.stats[0], CONFIG)]
    return [*frames, *diffs, *figures, *(html.notice_html(text or "") for text in HOSTILE)]


def test_fragments_hold_nothing_that_templates_would_take_for_theirs(gallery: Gallery) -> None:
    for fragment in fragments(gallery):
        assert not set(fragment) & set("${}`\\")
        tags = Parsed(fragment).tags
        assert {tag for tag, _ in tags} <= {
            "div", "span", "del", "ins", "ul", "li", "p", "table", "caption", "thead", "tbody", "tr", "th", "td",
            "figure", "figcaption", "svg", "rect", "text", "line",
        }  # fmt: skip
        names = {name for _, attributes in tags for name in attributes}
        assert not {name for name in names if name.startswith("on") or name in ("style", "href", "src", "id")}
        assert tags[0][1]["class"].split()[0] == "te"


def test_a_frame_reads_as_its_text(gallery: Gallery) -> None:
    for picture in gallery.pictures:
        for frame in picture.frames:
            assert "".join(Parsed(html.frame_html(frame, CONFIG)).texts) == shown(frame.text)


def test_a_frame_tells_of_every_token(gallery: Gallery) -> None:
    for picture in gallery.pictures[:4]:
        for frame in picture.frames:
            tags = Parsed(html.frame_html(frame, CONFIG)).tags
            (box,) = [attributes for _, attributes in tags if attributes.get("role") == "listbox"]
            options = [attributes for _, attributes in tags if attributes.get("role") == "option"]
            data = json.loads(box["data-te"] or "")
            pieces = [piece for piece in frame.pieces() if piece.tokens]
            assert len(data["rows"]) == len(options) == len(pieces)
            assert [n for n, option in enumerate(options) if "tabindex" in option] == [0]
            for (text, p, rank, note, drawn, *candidates), option, piece in zip(
                data["rows"], options, pieces, strict=True
            ):
                token = piece.tokens[0]
                words = [None if at is None else data["words"][at] for at in (text, note, drawn, *candidates[::2])]
                assert words[0] == printable(piece.text)
                assert p == (None if piece.probability is None else pytest.approx(piece.probability, abs=6e-5))
                assert (rank, words[2]) == (token.rank, token.replacement and printable(token.replacement))
                assert words[3:] == [name and printable(name) for name, _ in token.candidates]
                classes = (option["class"] or "").split()
                assert ("te-selected" in classes, "te-changed" in classes) == (
                    token.selected, token.replacement is not None
                )  # fmt: skip
                assert option.get("aria-selected") == ("true" if token.selected else None)
                if token.replacement:
                    assert token.kind is not None
                    assert words[1] == f"selected and changed, {KINDS[token.kind]}"
                assert option.get("aria-label") == (None if piece.text.strip(" \u200d") else spelled(piece.text))
                if len(piece.tokens) > 1:
                    assert words[1] == f"{len(piece.tokens)} tokens that share characters: not edited"


@pytest.mark.parametrize(
    ("text", "name"),
    [(" ", "space"), ("    ", "4 × space"), (" \u00a0\u200d", "space, no-break space, zero width joiner")],
)
def test_what_shows_nothing_is_spelled(text: str, name: str) -> None:
    assert is_invisible(text)
    assert spelled(text) == name


def test_dropped_tokens_are_struck(stories_prior) -> None:
    config = EditConfig(select="none", drop_below=0.01)
    gallery = Gallery.take(ToEditor(stories_prior, config), ["Once upon a xylophone time."], ["a"])
    markup = html.frame_html(gallery.pictures[0].frames[0], config)
    assert 0 < gallery.stats[0].num_dropped == markup.count("<del>") - 1  # one is in the legend
    assert "<ins>" not in markup
    assert "dropped: p &lt; 0.01" in markup
    assert "te-threshold" not in html.histogram_html(gallery.stats[0], config)
    assert '<th scope="col">dropped</th>' in html.generations_html(gallery.stats)


def test_a_diff_is_both_texts() -> None:
    table = PieceTable("a <b>new</b> day\n", (Edit(5, 8, "<i>old", 1), Edit(12, 12, "!", 2)))
    markup = html.diff_html(table)
    assert "<del>&lt;i&gt;old</del><ins>new</ins>" in markup
    assert "<del>!</del> day⏎\n" in markup
    assert Parsed(markup).texts == [shown(table.revert())]
    assert html.diff_html(PieceTable("as it was")) == '<div class="te te-diff">as it was</div>'
    assert html.diff_html(PieceTable("", (Edit(0, 0, "all", 1),))) == '<div class="te te-diff"><del>all</del></div>'


def test_a_diff_tells_the_kind_of_each_edit() -> None:
    table = PieceTable("in 1006 Kittes", (Edit(3, 7, "2006", 1), Edit(8, 8, "very ", 1), Edit(12, 14, "ties", 1)))
    assert kinds_of_edits(table) == ["number", "whole_word", "inside_word"]
    assert html.diff_html(table, kinds_of_edits(table)) == (
        '<div class="te te-diff">in <del title="number">2006</del><ins title="number">1006</ins> '
        '<del title="whole word">very </del>Kitt<del title="inside a word">ties</del>'
        '<ins title="inside a word">es</ins></div>'
    )


def test_a_histogram_says_its_figures() -> None:
    stats = EditStats(num_tokens=10, num_scored=10, probability_histogram=[5, 0, 0, 0, 0, 0, 0, 0, 1, 4])
    markup = html.histogram_html(stats, EditConfig(threshold=0.99), generation=2)
    words = "Tokens by probability p in generation 2: 50.0% from 0 to 0.1, 0.0% from 0.1 to 0.2"
    assert f'role="img" aria-label="{words}' in markup
    assert "40.0% from 0.9 to 1; selected: p ≥ 0.99" in markup
    assert markup.count("<rect") == 10
    assert "p ≤ 0.001" in html.histogram_html(stats, EditConfig(select="below", threshold=0.001))
    assert "No token was scored" in html.histogram_html(EditStats(), EditConfig())


def test_a_page_needs_and_asks_nothing(gallery: Gallery) -> None:
    page = html.page(gallery)
    tags = Parsed(page).tags
    assert page.startswith(html.PAGE_BEGINS)
    assert not re.search(r"(?i)https?:|//[a-z]+\.|url\(|@import", page)
    assert {tag for tag, _ in tags} & {"link", "img", "iframe", "a", "base", "form"} == set()
    (policy,) = [a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for name in ("style", "script"):
        (content,) = re.findall(f"(?s)<{name}>(.*?)</{name}>", page)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    read = [picture.frames[0].text for picture in gallery.pictures if picture.skipped and picture.frames[0].text]
    read += [frame.text for picture in gallery.pictures if not picture.skipped for frame in picture.frames]
    found = "".join(Parsed(page.split("<script>")[0] + "</body></html>").texts)
    for text in read:
        assert shown(text) in found
    assert page.count("row &lt;") == len(gallery.pictures)


def palette() -> dict[str, tuple[str, str]]:
    """Return the variables of the style sheet, for the light and the dark theme."""
    found = re.findall(r"--te-([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", html.style())
    return {name: (light, dark) for name, light, dark in found}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark: bool) -> None:
    """AA: 4.5 for text, 3 for marks that carry information."""
    colours = {name: pair[dark] for name, pair in palette().items()}
    steps = [f"p{n}" for n in range(10)]
    text = [*product(["ink"], ["ground", "raised", *steps]), *product(["pale"], ["ground", "raised"])]
    text += [("removed-ink", "removed"), ("added-ink", "added")]
    marks = [*product(["ring"], ["ground", *steps]), *product(["focus", "pale"], ["ground"])]
    assert {pair: ratio for pair in text if (ratio := contrast(*(colours[n] for n in pair))) < 4.5} == {}
    assert {pair: ratio for pair in marks if (ratio := contrast(*(colours[n] for n in pair))) < 3} == {}
    shades = [contrast(colours["ground"], colours[step]) for step in steps]
    assert shades == sorted(shades)


def test_assets_are_quiet() -> None:
    """All colours are in the palette, and the script inserts no HTML."""
    outside = re.sub(r"--te-[a-z0-9-]+: light-dark\(.*?\);", "", html.style())
    assert re.findall(r"#[0-9a-f]{3,8}\b", outside) == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval|fetch|import|https?:", html.script())
    assert {name.group(0) for name in re.finditer(r"\.[a-zA-Z][\w-]*(?=[^{}]*\{)", html.style())} <= {
        *(f".{name}" for name in re.findall(r"te(?:-[a-z0-9]+)*", html.style())), ".gradio-container", ".dark"
    }  # fmt: skip
