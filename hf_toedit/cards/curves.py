"""How edits decay over the generations of a run, as curves in percent, for pictures of any kind."""

from __future__ import annotations

from collections.abc import Sequence

from hf_toedit.cards.edit_tables import PAPER
from hf_toedit.stats import GenerationFigures

PAPER_SELECTED = [100 * selected / PAPER[0][1] for _, selected in PAPER]
"""Selected tokens of generations 1 to 3, in percent of those of the first (the paper, Table 9)."""


def selected_curve(figures: Sequence[GenerationFigures]) -> list[float]:
    """Share of selected tokens in each generation, in percent of that in the first, which is not zero."""
    return [100 * entry.selected_rate / figures[0].selected_rate for entry in figures]


def standing_curve(shares: Sequence[float | None]) -> list[float] | None:
    """What stands of the source from the source itself on, in percent; None where it is not known.

    Args:
        shares: of generations 1, 2, ….
    """
    known = [share for share in shares if share is not None]
    return [100.0, *(100 * share for share in known)] if len(known) == len(shares) else None
