"""Pictures for a terminal: coloured if it has colours, otherwise with plain marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from hf_toedit.cards.escape import printable
from hf_toedit.config import EditConfig
from hf_toedit.editing.rules import rule_of
from hf_toedit.picture.data import Frame, TextSpan
from hf_toedit.picture.words import histogram_caption, is_marked, probability_shares, selection
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import EditStats, decimal

MAX_PLACES = 12
"""Maximum number of places to show of a text that is not shown whole."""

_CONTEXT = 40
"""Number of characters to show around each place."""

_BEGINNING = 80
"""Number of characters to show of a text in which nothing was selected."""

_STEPS = ((0.1, ""), (0.5, "yellow"), (0.9, "green"), (1.0, "cyan"))
"""Colors of p up to a bound; they are the terminal's own, which suit its background."""

_BAR = 40


def frame_text(frame: Frame, colour: bool, max_places: int | None = MAX_PLACES) -> Text:
    """Render one text in one generation, on one line.

    Args:
        frame: The text.
        colour: Color tokens by p and underline selected ones; otherwise use the marks of `legend`.
        max_places: Maximum number of places to show that changed or, if none did, were selected; None shows the whole
            text.
    """
    line = Text()
    if not frame.tokens:
        is_whole = max_places is None or len(frame.text) <= _BEGINNING
        return line.append(
            printable(frame.text if is_whole else frame.text[:_BEGINNING]) + ("" if is_whole else " …"), style="dim"
        )
    for piece in frame.pieces() if max_places is None else _excerpt(list(frame.pieces()), max_places):
        if isinstance(piece, str):
            line.append(piece, style="dim")
        else:
            _append(line, piece, colour)
    return line


def legend(config: EditConfig, colour: bool) -> Text:
    """Render a legend of the marks of a text."""
    line = Text()
    if colour:
        low = 0.0
        for high, style in _STEPS:
            line.append(f"p {low:g}–{high:g}", style=style)
            line.append("  ")
            low = high
    if rule_of(config).selects:
        token = ("token", "underline") if colour else ("‹token›", "")
        line.append(*token).append(f" selected: {selection(config)}  ")
        _append_change(line, "before", "after", colour)
        line.append("(kind)", style="dim" if colour else "").append(" changed  ")
    if config.drop_below is not None:
        _append_change(line, "token", "", colour)
        line.append(f" dropped: p < {decimal(config.drop_below)}")
    line.rstrip()
    return line


def histogram(stats: EditStats, config: EditConfig, generation: int | None = None) -> Text:
    """Render the tokens by p in ten bins, with the threshold; empty if none was scored.

    Args:
        stats: Statistics of one generation.
        config: How it was edited.
        generation: Generation number to display, if there are several.
    """
    shares = probability_shares(stats)
    threshold = rule_of(config).threshold
    lines = []
    for number, share in enumerate(shares):
        low, high = number / len(shares), (number + 1) / len(shares)
        is_there = threshold is not None and (low <= threshold < high or threshold == high == 1)
        bar = "█" * round(_BAR * share / max(shares))
        mark = f"  ← selected: {selection(config)}" if is_there else ""
        lines.append(f"{low:.1f}–{high:.1f} {share:6.1%} {bar}{mark}")
    if not lines:
        return Text()
    return Text("\n".join([f"{histogram_caption(stats, generation)}:", *lines]))


def _excerpt(pieces: Sequence[TextSpan], max_places: int) -> Iterator[TextSpan | str]:
    """Yield the pieces near the first few places, and dots for omitted ones."""
    changed = [n for n, piece in enumerate(pieces) if any(token.replacement is not None for token in piece.tokens)]
    places = changed or [n for n, piece in enumerate(pieces) if any(map(is_marked, piece.tokens))]
    shown = _near(pieces, places[:max_places])
    at = 0
    for number in sorted(shown):
        if number > at:
            yield " … "
        yield pieces[number]
        at = number + 1
    hidden = len(places) - max_places
    if hidden > 0:
        yield f" … (and {hidden:,} more {'changed' if changed else 'selected'})"
    elif at < len(pieces):
        yield " …"


def _near(pieces: Sequence[TextSpan], places: Sequence[int]) -> set[int]:
    """Return places and the pieces around them; the beginning of the text if there are no places."""
    if not places:
        return set(_reached(pieces, range(len(pieces)), _BEGINNING))
    near = set(places)
    for place in places:
        near.update(_reached(pieces, range(place + 1, len(pieces)), _CONTEXT))
        near.update(_reached(pieces, range(place - 1, -1, -1), _CONTEXT))
    return near


def _reached(pieces: Sequence[TextSpan], numbers: range, characters: int) -> Iterator[int]:
    """Yield pieces until the number of characters is reached; the last piece may exceed it."""
    for number in numbers:
        if characters <= 0:
            return
        yield number
        characters -= len(pieces[number].text)


def _append(line: Text, piece: TextSpan, colour: bool) -> None:
    text = printable(piece.text)
    token = piece.tokens[0] if piece.tokens else None
    if token and token.replacement is not None:
        _append_change(line, text, printable(token.replacement), colour)
        if token.kind:
            line.append(f"({KINDS[token.kind]})", style="dim" if colour else "")
    elif not colour:
        line.append(f"‹{text}›" if token and token.selected else text)
    else:
        underline = " underline" if token and token.selected else ""
        line.append(text, style=_style(piece.probability) + underline)


def _append_change(line: Text, before: str, after: str, colour: bool) -> None:
    line.append(before if colour else f"[-{before}-]", style="red strike" if colour else "")
    if after:
        line.append(after if colour else f"{{+{after}+}}", style="green bold" if colour else "")


def _style(probability: float | None) -> str:
    if probability is None:
        return "dim"
    return next((style for bound, style in _STEPS if probability < bound), _STEPS[-1][1])
