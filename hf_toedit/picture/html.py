"""Pictures as HTML: fragments that can be put into any page, and a complete page.

Every function is pure, and escapes all text in the HTML that it returns. A fragment needs `style()` and, for the
tooltip, `script()` once in its page. Its elements have these classes: `te` is on every fragment; `te-frame` contains a
`te-legend` and a `te-text`, whose tokens are `te-t`, with `te-p0` … `te-p9` by their bin of p (`te-unscored` without),
`te-selected`, and `te-changed` with `<del>` and `<ins>`; `te-tip` is the tooltip, `te-generations`, `te-histogram`,
`te-diff` and `te-notice` are the other fragments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from hf_toedit.cards.escape import printable
from hf_toedit.cards.page import page as whole_page
from hf_toedit.config import EditConfig
from hf_toedit.editing.diff import ADDED, REMOVED, segments
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.rules import rule_of
from hf_toedit.picture.data import NUM_CANDIDATES, Frame, Gallery, Picture, TextSpan
from hf_toedit.picture.words import (
    bin_of,
    facts,
    fate,
    generation_columns,
    histogram_caption,
    is_invisible,
    kind_columns,
    probability_shares,
    selection,
    spelled,
)
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import PROBABILITY_BINS, EditStats, decimal

MAX_LISTED = 10
"""Maximum number of candidates in the tooltip of a token."""

HOW_TO_LOOK = "Point at a token, tap it, or move with the arrow keys, to see its probability and candidates."

_MARK = "a preview of hf-toedit"

PAGE_BEGINS = f"<!DOCTYPE html>\n<!-- {_MARK} -->"
"""Beginning of a page, by which it can be recognized."""

_TEMPLATE_CHARACTERS = str.maketrans({character: f"&#{ord(character)};" for character in "${}`\\"})
"""Characters with a meaning in templates of JavaScript and Handlebars, through which Gradio passes values."""

_WIDTH, _HEIGHT, _BASE, _TOP = 360, 180, 150, 24


def escaped(text: str) -> str:
    """Escape text for HTML and for templates of JavaScript and Handlebars, with or without quotes.

    Control and direction characters are written out, and a line break follows its mark.
    """
    visible = "⏎\n".join(printable(line) for line in text.split("\n"))
    return escape(visible, quote=True).translate(_TEMPLATE_CHARACTERS)


def style() -> str:
    """Return the style sheet of all fragments, without the element."""
    return asset("picture.css")


def script() -> str:
    """Return the script of all fragments, without the element."""
    return asset("picture.js")


def frame_html(frame: Frame, config: EditConfig, legend: bool = True) -> str:
    """Render one text in one generation: tokens coloured by p, selected ones outlined, changed ones before and after.

    Args:
        frame: The text.
        config: How it was edited.
        legend: Include a legend of the marks.
    """
    if not frame.tokens:
        return _unread_html(frame)
    pieces = list(frame.pieces())
    tokens = [piece for piece in pieces if piece.tokens]
    focus = tokens[0] if tokens else None
    text = "".join(_option_html(piece, piece is focus) for piece in pieces)
    name = f"{facts(frame)}. Arrow keys move from token to token."
    return (
        f'<div class="te te-frame">{legend_html(config) if legend else ""}'
        f'<div class="te-text" role="listbox" aria-multiselectable="true" aria-label="{escaped(name)}"'
        f' data-te="{escaped(_data(tokens))}">{text}</div></div>'
    )


def legend_html(config: EditConfig) -> str:
    """Render a legend of the marks of a frame."""
    scale = "".join(f'<span class="te-p{number}"></span>' for number in range(PROBABILITY_BINS))
    marks = [f'probability p: 0 <span class="te-scale" role="img" aria-label="from pale to strong">{scale}</span> 1']
    if rule_of(config).selects:
        marks.append(f'<span class="te-t te-selected">token</span> selected: {escaped(selection(config))}')
        marks.append("<del>before</del><ins>after</ins> changed")
    if config.drop_below is not None:
        marks.append(f"<del>token</del> dropped: p &lt; {decimal(config.drop_below)}")
    return f'<ul class="te te-legend">{"".join(f"<li>{mark}</li>" for mark in marks)}</ul>'


def generations_html(stats: Sequence[EditStats]) -> str:
    """Render what was selected and changed, per generation, and the kinds of changed tokens.

    Args:
        stats: Statistics of generations 1, 2, ….
    """
    parts = [_table("Selected and changed tokens", generation_columns(stats)), _note(stats)]
    if kinds := kind_columns(stats):
        parts.append(_table("Changed tokens by kind", kinds))
    return (
        '<div class="te te-generations" role="region" aria-label="Generations" tabindex="0">'
        + "".join(parts)
        + "</div>"
    )


def _table(caption: str, columns: Mapping[str, Sequence[str]]) -> str:
    """Render columns by heading; the first column has the headings of the rows."""
    headings = "".join(f'<th scope="col">{escaped(name.replace(chr(10), " "))}</th>' for name in columns)
    rows = "".join(
        f'<tr><th scope="row">{escaped(first)}</th>{"".join(f"<td>{escaped(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in zip(*columns.values(), strict=True)
    )
    return (
        f"<table><caption>{escaped(caption)}</caption><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _note(stats: Sequence[EditStats]) -> str:
    if len(stats) < 2:
        return ""
    return (
        '<p class="te-note">eta: selected %, over that of the generation before; '
        "unchanged: what is left of the source.</p>"
    )


def histogram_html(stats: EditStats, config: EditConfig, generation: int | None = None) -> str:
    """Render the tokens by p in ten bins, with the threshold.

    Args:
        stats: Statistics of one generation.
        config: How it was edited.
        generation: Generation number to display, if there are several.
    """
    shares = probability_shares(stats)
    if not shares:
        return notice_html("No token was scored, so there are no probabilities to show.")
    lines = ", ".join(f"{share:.1%} from {n / 10:g} to {(n + 1) / 10:g}" for n, share in enumerate(shares))
    caption = histogram_caption(stats, generation)
    where = f"; selected: {selection(config)}" if rule_of(config).selects else ""
    return (
        f'<figure class="te te-histogram"><figcaption>{escaped(caption)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(f"{caption}: {lines}{where}")}">'
        f"{_bars(shares)}{_threshold(config)}</svg></figure>"
    )


def diff_html(table: PieceTable, kinds: Sequence[str] = ()) -> str:
    """Render a whole text, with the deletions and insertions of its edits.

    Args:
        table: The text and its edits.
        kinds: Kinds of the edits, one per edit, for the browser's tooltips; empty if they are unknown.
    """
    marks = {REMOVED: "del", ADDED: "ins"}
    titles = (f' title="{escaped(KINDS[kind])}"' for kind in kinds)
    parts, title = [], ""
    for kind, text in segments(table, len(table.edits), len(table.text)) if table.edits else [("kept", table.text)]:
        mark = marks.get(kind)
        title = next(titles, "") if kind == REMOVED else title
        parts.append(f"<{mark}{title}>{escaped(text)}</{mark}>" if mark and text else escaped(text))
    return f'<div class="te te-diff">{"".join(parts)}</div>'


def notice_html(text: str) -> str:
    """Render a notice; errors begin in lower case, since in a terminal they follow the word Error."""
    first, space, rest = text.partition(" ")
    sentence = (first.capitalize() if first.isalpha() and first.islower() else first) + space + rest
    return f'<p class="te te-notice">{escaped(sentence)}</p>'


def page(gallery: Gallery) -> str:
    """Render one HTML file that needs no other file and no network."""
    lines = f"prior {gallery.prior}, selected: {selection(gallery.config)}"
    histogram = histogram_html(gallery.stats[0], gallery.config, 1 if len(gallery.stats) > 1 else None)
    body = (
        f'<main class="te-page">\n<h1>What ToEdit does</h1>\n'
        f'<p class="te-facts">{escaped(lines)}</p>\n'
        f'<div class="te-figures">{generations_html(gallery.stats)}{histogram}</div>\n'
        f"{legend_html(gallery.config)}\n"
        f'<p class="te-facts">{HOW_TO_LOOK}</p>\n'
        + "".join(_section(picture, gallery.config) for picture in gallery.pictures)
        + "</main>\n"
    )
    return whole_page("ToEdit preview", style() + asset("page.css"), body, script(), mark=_MARK, classes="te")


def _section(picture: Picture, config: EditConfig) -> str:
    frames = picture.frames[:1] if picture.skipped else picture.frames
    parts = []
    for frame in frames:
        heading = f"<h3>Generation {frame.generation}</h3>" if len(frames) > 1 else ""
        parts.append(f'{heading}<p class="te-facts">{escaped(facts(frame))}</p>{frame_html(frame, config, False)}')
    return f"<section><h2>{escaped(picture.name)}</h2>{''.join(parts)}</section>\n"


def _unread_html(frame: Frame) -> str:
    text = f'<div class="te-text">{escaped(frame.text)}</div>' if frame.text else ""
    return f'<div class="te te-frame">{text}</div>'


def piece_html(piece: TextSpan, attributes: str) -> str:
    """Render a piece with tokens: coloured by p, with the sampled text next to the text that it replaced.

    Args:
        piece: The piece.
        attributes: More attributes of its element, as HTML.
    """
    p = piece.probability
    names = ["te-t", "te-unscored" if p is None else f"te-p{bin_of(p)}"]
    token = piece.tokens[0]
    if token.selected:
        names.append("te-selected")
    if token.replacement is not None:
        names.append("te-changed")
    inner = escaped(piece.text)
    if token.replacement is not None:
        inner = f"<del>{inner}</del>" + (f"<ins>{escaped(token.replacement)}</ins>" if token.replacement else "")
    return f'<span class="{" ".join(names)}"{attributes}>{inner}</span>'


def _option_html(piece: TextSpan, is_first: bool) -> str:
    """Render a piece as an option that can be reached with the arrow keys."""
    if not piece.tokens:
        return escaped(piece.text)
    label = f' aria-label="{spelled(piece.text)}"' if is_invisible(piece.text) else ""
    state = ' aria-selected="true"' if piece.tokens[0].selected else ""
    focus = ' tabindex="0"' if is_first else ""
    return piece_html(piece, f' role="option"{state}{label}{focus}')


def _data(pieces: Sequence[TextSpan]) -> str:
    """Return the tooltip data of each token as JSON, with every text once: see `fill` in `picture.js`."""
    words: dict[str, int] = {}

    def word(text: str | None) -> int | None:
        return None if text is None else words.setdefault(printable(text), len(words))

    word(str(NUM_CANDIDATES))
    rows = []
    for piece in pieces:
        token = piece.tokens[0]
        alone = len(piece.tokens) == 1
        p = piece.probability
        row = [
            word(piece.text),
            None if p is None else _rounded(p),
            token.rank if alone else None,
            word(fate(piece)),
            word(token.replacement),
        ]
        for text, probability in token.candidates[:MAX_LISTED] if alone else ():
            row += [word(text), _rounded(probability)]
        rows.append(row)
    return json.dumps({"words": list(words), "rows": rows}, ensure_ascii=False, separators=(",", ":"))


def _rounded(probability: float) -> float:
    """Round a probability to the digits that are shown."""
    return round(probability, 4) if probability >= 1e-4 else float(f"{probability:.0e}")


def _bars(shares: Sequence[float]) -> str:
    step = (_WIDTH - 20) / PROBABILITY_BINS
    parts = []
    for number, share in enumerate(shares):
        height = (_BASE - _TOP - 16) * share / max(shares)
        left = 10 + number * step
        parts.append(
            f'<rect class="te-p{number}" x="{left + 2:.1f}" y="{_BASE - height:.1f}" width="{step - 4:.1f}"'
            f' height="{height:.1f}"/>'
            f'<text x="{left + step / 2:.1f}" y="{_BASE - height - 4:.1f}" text-anchor="middle">{share:.0%}</text>'
        )
    ticks = "".join(
        f'<text x="{10 + number * step:.1f}" y="{_BASE + 14}" text-anchor="middle">{number / 10:g}</text>'
        for number in range(0, PROBABILITY_BINS + 1, 2)
    )
    axis = f'<line class="te-axis" x1="10" x2="{_WIDTH - 10}" y1="{_BASE}" y2="{_BASE}"/>'
    return "".join(parts) + axis + ticks


def _threshold(config: EditConfig) -> str:
    threshold = rule_of(config).threshold
    if threshold is None:
        return ""
    at = 10 + (_WIDTH - 20) * threshold
    anchor, shift = ("end", -4) if threshold > 0.5 else ("start", 4)
    return (
        f'<line class="te-threshold" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{_BASE}"/>'
        f'<text x="{at + shift:.1f}" y="13" text-anchor="{anchor}">{escaped(selection(config))}</text>'
    )


def asset(name: str) -> str:
    """Read a file of `assets/`."""
    return (files("hf_toedit.picture") / "assets" / name).read_text(encoding="utf-8")
