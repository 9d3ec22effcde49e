"""How edits decay over the generations of a run, as curves in percent, for every kind of picture."""

from __future__ import annotations

from collections.abc import Sequence

from hf_toedit.cards.edit_tables import PAPER
from hf_toedit.stats import GenerationFigures

PAPER_SELECTED = [100 * selected / PAPER[0][1] for _, selected in PAPER]
"""Selected tokens in generations 1 to 3, in percent of generation 1 (paper, Table 9)."""


def selected_curve(figures: Sequence[GenerationFigures]) -> list[float]:
    """Return the share of selected tokens in each generation, in percent of the first, which must not be zero."""
    return [100 * entry.selected_rate / figures[0].selected_rate for entry in figures]


def unchanged_curve(shares: Sequence[float | None]) -> list[float] | None:
    """Return the unchanged share of the source in percent, starting with the source itself; None if unknown.

    Args:
        shares: Unchanged shares after generations 1, 2, ….
    """
    known = [share for share in shares if share is not None]
    return [100.0, *(100 * share for share in known)] if len(known) == len(shares) else None
