"""How documents of any length become forward passes of bounded size. Pure: index arithmetic only.

A document is cut into windows no longer than the prior's context, a window into pieces that continue on each other's
keys and values, and pieces are laid into packs up to a token budget. Windows and pieces depend on the document alone,
never on its neighbours or on the budget: that keeps results independent of how work is batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

PIECE_TOKENS = 1024
"""Longest stretch of one document in one attention call; fixed, since its length shows in the last bits of fp32."""

_OVERLAP = 4
"""A window after the first repeats a quarter of the context as context only."""


@dataclass(frozen=True)
class Window:
    """A stretch of a document read from position 0 of the prior.

    Its input is BOS (where the prior has one) and the document's tokens `[start, stop)`, less the last, which predicts
    nothing that is asked for.

    Attributes:
        document: index of the document.
        start: first token.
        stop: one past the last.
        score_from: first token that this window may score; those before only lead up to it.
    """

    document: int
    start: int
    stop: int
    score_from: int


@dataclass(frozen=True)
class Piece:
    """Input positions `[start, stop)` of a window, run in one attention call.

    Attributes:
        window: the window.
        start: first input position; earlier ones come from kept keys and values.
        stop: one past the last.
        last: no piece of this window follows.
    """

    window: Window
    start: int
    stop: int
    last: bool

    def __len__(self) -> int:
        """Number of input positions."""
        return self.stop - self.start


def windows(document: int, own: np.ndarray, context: int, num_bos: int) -> Iterator[Window]:
    """Cut one document into windows of at most `context` input positions, each token of its own scored once.

    A window ends with the last token that it scores; one that would score none is left out.

    Args:
        document: its index.
        own: bool `[n]`, the tokens to score; the others are only read.
        context: positions of the prior, at least 2.
        num_bos: 1 with BOS, else 0: the first token is then not scored, in the first window only.
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
    """Lay pieces, in order, into packs of at most `token_budget` positions; a longer piece is a pack of its own."""
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
    """The same pack, pieces that go on with the one right before them made one with it."""
    whole: list[Piece] = []
    for piece in pack:
        if whole and whole[-1].window == piece.window and whole[-1].stop == piece.start:
            whole[-1] = replace(whole[-1], stop=piece.stop, last=piece.last)
        else:
            whole.append(piece)
    return whole


def batches(items: Iterable[Piece], token_budget: int) -> Iterator[list[Piece]]:
    """Lay pieces, longest first, into batches that hold at most `token_budget` positions padded to their longest."""
    batch: list[Piece] = []
    for piece in sorted(items, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > token_budget:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
