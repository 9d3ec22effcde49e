"""Results as cell output of a notebook: HTML with its own style and without a script, of bounded size.

No prior is called again: a result has the probability of every token, and the candidates of selected ones. Unlike
the fragments of `html.py`, this output needs no page around it; the tooltip of a token is its `title`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from hf_toedit.cards.escape import percent, printable
from hf_toedit.editing.result import EditResult, TokenView
from hf_toedit.picture.data import Frame, TextSpan, Token
from hf_toedit.picture.html import asset, escaped, generations_html, legend_html, piece_html, style
from hf_toedit.picture.words import facts, fate, named, probability
from hf_toedit.place_kinds import KINDS, counted_kinds
from hf_toedit.stats import EditStats

MAX_DOCUMENTS = 3
MAX_CHARACTERS = 2_000
"""Maximum number of characters per document. A note reports how many are left out."""

_MAX_LISTED = 8
"""Maximum number of candidates in the title of a selected token."""

_BREAK = "&#10;"


def result_html(result: EditResult) -> str:
    """Render the first texts of a result: tokens coloured by p, selected outlined, changed before and after."""
    frames = [_frame(result, index) for index in range(min(len(result.documents), MAX_DOCUMENTS))]
    changed = counted_kinds({kind: counts.num_changed for kind, counts in result.stats.kinds.items()})
    shown = f"Generation {result.generation}: {result.stats.headline}"
    parts = [_facts(f"{shown}; changed by kind: {changed}" if changed else shown)]
    if any(frame.tokens for frame in frames):
        parts.append(legend_html(result.config))
    parts += [_frame_html(frame, index) for index, frame in enumerate(frames)]
    if left := len(result.documents) - len(frames):
        parts.append(_note(f"{left:,} more document{'s' if left > 1 else ''} not shown."))
    return _output(parts)


def stats_html(generations: Sequence[EditStats]) -> str:
    """Render the figures of one generation; for several, what was selected and changed in each, and its decay.

    Args:
        generations: Statistics of one generation, or of generations 1, 2, … of the same texts.
    """
    if len(generations) > 1:
        return _output([generations_html(generations)])
    rows = (
        f'<tr><th scope="row">{escaped(name)}</th><td>{escaped(value)}</td></tr>'
        for name, value in _figures(generations[0])
    )
    return _output([f'<div class="te te-generations"><table><tbody>{"".join(rows)}</tbody></table></div>'])


def run_html(shown: str, generations: Sequence[EditStats]) -> str:
    """Render the current state of a run.

    Args:
        shown: Description of the run and its progress, on one line.
        generations: Statistics of each generation over its finished shards.
    """
    read = [stats for stats in generations if stats.num_tokens]
    return _output([_facts(shown), *([generations_html(read)] if read else [])])


def _figures(stats: EditStats) -> Iterator[tuple[str, str]]:
    """Yield names and values; undefined figures are left out."""
    yield "rows", f"{stats.num_rows:,}"
    yield "documents", f"{stats.num_documents:,}"
    for cause, count in sorted(stats.num_skipped.items()):
        yield f"skipped: {named(cause)}", f"{count:,}"
    yield "tokens", f"{stats.num_tokens:,}"
    if not stats.num_tokens:
        return
    yield "selected", f"{stats.num_selected:,} ({stats.selected_rate:.2%})"
    yield "changed", f"{stats.num_changed:,} ({stats.changed_rate:.2%})"
    for kind, counts in stats.kinds.items():
        if counts.num_changed:
            yield f"changed: {KINDS[kind]}", f"{counts.num_changed:,} ({counts.num_changed / stats.num_changed:.1%})"
    if stats.num_dropped:
        yield "dropped", f"{stats.num_dropped:,} ({stats.num_dropped / stats.num_tokens:.2%})"
    if stats.num_rejected:
        yield "rejected", f"{stats.num_rejected:,} ({stats.num_rejected / stats.num_tokens:.2%})"
    if stats.num_characters:
        yield "characters unchanged", percent(stats.num_characters_unchanged / stats.num_characters)
    if stats.num_scored:
        yield "nll, nats per token", f"{stats.nll:.4f}"
        yield "perplexity", f"{stats.perplexity:,.2f}"


def _frame(result: EditResult, index: int) -> Frame:
    views = takewhile(lambda view: view.start < MAX_CHARACTERS, result.views(index))
    return Frame(result.generation, result.documents[index], tuple(map(_token, views)))


def _token(view: TokenView) -> Token:
    return Token(
        text=view.text,
        start=view.start,
        probability=view.probability,
        rank=None,
        candidates=view.candidates,
        selected=view.selected,
        replacement=view.replacement,
        rejected=view.rejected,
        dropped=view.dropped,
        ineligible=view.ineligible,
        kind=view.kind,
    )


def _frame_html(frame: Frame, index: int) -> str:
    text = "".join(
        piece_html(piece, f' title="{_title(piece)}"') if piece.tokens else escaped(piece.text)
        for piece in _first(frame.pieces(), MAX_CHARACTERS)
    )
    left = len(frame.text) - MAX_CHARACTERS
    return (
        f'<section class="te te-frame">{_facts(f"documents[{index}]: {facts(frame)}")}'
        + (f'<div class="te-text">{text}</div>' if text else "")
        + (_note(f"{left:,} more character{'s' if left > 1 else ''} not shown.") if left > 0 else "")
        + "</section>"
    )


def _first(pieces: Iterator[TextSpan], room: int) -> Iterator[TextSpan]:
    """Yield pieces up to `room` characters in total; one that does not fit is cut, without its tokens."""
    for piece in pieces:
        if len(piece.text) > room:
            yield TextSpan(piece.text[:room], ())
            return
        yield piece
        room -= len(piece.text)


def _title(piece: TextSpan) -> str:
    """Return the prior's results for a token, for the browser's own tooltip."""
    p = piece.probability
    shown = [f"“{printable(piece.text)}”", "not scored" if p is None else f"p {probability(p)}", fate(piece)]
    lines = [", ".join(part for part in shown if part)]
    if len(piece.tokens) == 1:
        lines += [
            f"{probability(p)} " + ("not a text alone" if text is None else f"“{printable(text)}”")
            for text, p in piece.tokens[0].candidates[:_MAX_LISTED]
        ]
    return _BREAK.join(map(escaped, lines))


def _facts(text: str) -> str:
    return f'<p class="te-facts">{escaped(text)}</p>'


def _note(text: str) -> str:
    return f'<p class="te-note">{escaped(text)}</p>'


def _output(parts: Sequence[str]) -> str:
    return f'<div class="te te-output"><style>{style()}{asset("output.css")}</style>{"".join(parts)}</div>'
