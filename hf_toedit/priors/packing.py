"""Forward passes of bounded size from documents of any length. Pure: index arithmetic only.

A document is cut into windows no longer than the prior's context, a window into pieces that continue on each other's
keys and values, and pieces are grouped into packs up to a token budget. Windows and pieces depend on the document
alone, never on its neighbours or on the budget, so results do not depend on batching.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

PIECE_TOKENS = 1024
"""Maximum length of a piece in one attention call; fixed, since it affects the last bits of fp32."""

_OVERLAP = 4
"""Each window after the first begins with a quarter of the context that it repeats without scoring it."""


@dataclass(frozen=True)
class Window:
    """A span of a document that is read from position 0 of the prior.

    Its input is BOS (if the prior has one) and the document's tokens `[start, stop)`, without the last, whose
    prediction is not needed.

    Attributes:
        document: Index of the document.
        start: First token.
        stop: One past the last token.
        score_from: First token that this window may score; those before it are only context.
    """

    document: int
    start: int
    stop: int
    score_from: int


@dataclass(frozen=True)
class Piece:
    """Input positions `[start, stop)` of a window, run in one attention call.

    Attributes:
        window: The window.
        start: First input position; earlier ones come from kept keys and values.
        stop: One past the last input position.
        last: Whether no piece of this window follows.
    """

    window: Window
    start: int
    stop: int
    last: bool

    def __len__(self) -> int:
        """Number of input positions."""
        return self.stop - self.start


def windows(document: int, own: np.ndarray, context: int, num_bos: int) -> Iterator[Window]:
    """Cut one document into windows of at most `context` input positions; each of its own tokens is scored once.

    A window ends with the last token that it scores; windows without a token to score are left out.

    Args:
        document: Index of the document.
        own: bool `[n]`, the tokens to score; the others are only read.
        context: Number of positions of the prior, at least 2.
        num_bos: 1 with BOS, else 0; without BOS the first token of the first window is not scored.
    """
    room = context + 1 - num_bos
    overlap = max(context // _OVERLAP, 1)
    start, score_from = 0, 1 - num_bos
    while score_from < len(own):
        stop = min(start + room, len(own))
        scored = np.flatnonzero(own[score_from:stop])
        if len(scored):
            yield Window(document, start, score_from + int(scored[-1]) + 1, score_from)
        score_from = stop
        start = stop - overlap


def pieces(window: Window, num_bos: int) -> Iterator[Piece]:
    """Cut a window's input into pieces of `PIECE_TOKENS`."""
    length = window.stop - window.start + num_bos - 1
    for start in range(0, length, PIECE_TOKENS):
        stop = min(start + PIECE_TOKENS, length)
        yield Piece(window, start, stop, stop == length)


def packs(items: Iterable[Piece], token_budget: int) -> Iterator[list[Piece]]:
    """Group pieces, in order, into packs of at most `token_budget` positions; a longer piece is a pack of its own."""
    pack: list[Piece] = []
    used = 0
    for piece in items:
        if pack and used + len(piece) > token_budget:
            yield pack
            pack, used = [], 0
        pack.append(piece)
        used += len(piece)
    if pack:
        yield pack


def joined(pack: Iterable[Piece]) -> list[Piece]:
    """Return the same pack, with pieces that directly continue the previous one merged into it."""
    whole: list[Piece] = []
    for piece in pack:
        if whole and whole[-1].window == piece.window and whole[-1].stop == piece.start:
            whole[-1] = replace(whole[-1], stop=piece.stop, last=piece.last)
        else:
            whole.append(piece)
    return whole


def batches(items: Iterable[Piece], token_budget: int) -> Iterator[list[Piece]]:
    """Group pieces, longest first, into batches of at most `token_budget` positions when padded to their longest."""
    batch: list[Piece] = []
    for piece in sorted(items, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > token_budget:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
