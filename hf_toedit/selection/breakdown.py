"""How well a selection separates right rows from wrong ones, and whether that suffices to learn from the kept rows.

Feng et al. 2024, "Beyond Model Collapse: Scaling Up with Synthesized Data Requires Reinforcement", arXiv 2406.07515,
Theorem 3.2: a generator whose rows are wrong with probability p, and a selection that keeps a right row with
probability phi and a wrong one with psi, give a model that learns (with more and more data) all there is to learn if p
is below the breakdown point p* = 1 / (1 + psi / phi), and nothing if it is above. p is below p* exactly if more right
rows are kept than wrong ones. The theorem is about two classes; use it as a guide for anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from hf_toedit.mergeable import Count, ratio

_DRAWS = 100_000
_LOW, _HIGH = 0.025, 0.975
_PRIOR = 0.5
"""Jeffreys' prior: added to both counts of a share."""

Share = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True)
class Breakdown:
    """Quality of a selection, measured on rows that are known to be right or wrong.

    Intervals are central 95 % intervals given the counts (Jeffreys' prior, by simulation).

    Attributes:
        num_right: Number of rows that are right.
        num_wrong: Number of rows that are wrong.
        num_right_kept: Number of right rows that were kept.
        num_wrong_kept: Number of wrong rows that were kept.
        phi: Share of the right rows that was kept.
        psi: Share of the wrong rows that was kept.
        point: The breakdown point p*; None if none of these rows was kept.
        point_low: The lower end of its interval.
        point_high: The upper end of its interval.
        error_rate: Share of the rows that are wrong, p.
        error_low: The lower end of its interval.
        error_high: The upper end of its interval.
        kept_error_rate: Share of the kept rows that are wrong; None if none was kept.
        below: Probability that p is below p*: that more of the kept rows are right than wrong.
    """

    num_right: Count
    num_wrong: Count
    num_right_kept: Count
    num_wrong_kept: Count
    phi: Share
    psi: Share
    point: Share | None
    point_low: Share
    point_high: Share
    error_rate: Share
    error_low: Share
    error_high: Share
    kept_error_rate: Share | None
    below: Share

    @property
    def verdict(self) -> str:
        """Whether the error rate is below the breakdown point: `below`, `above`, or that it cannot be determined."""
        if self.below >= _HIGH:
            return "below"
        return "above" if self.below <= _LOW else "cannot be estimated from so few rows"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, including the verdict."""
        return {**asdict(self), "verdict": self.verdict}


def breakdown(right: np.ndarray, kept: np.ndarray) -> Breakdown:
    """Evaluate a selection.

    Args:
        right: float64 `[n]`: above 0.5 for a right row, NaN for a row for which this is unknown.
        kept: bool `[n]`.
    """
    known = ~np.isnan(right)
    is_right, is_wrong = known & (right > 0.5), known & (right <= 0.5)
    counts = {
        "num_right": int(is_right.sum()),
        "num_wrong": int(is_wrong.sum()),
        "num_right_kept": int((is_right & kept).sum()),
        "num_wrong_kept": int((is_wrong & kept).sum()),
    }
    return of_counts(counts)


def of_counts(counts: Mapping[str, int]) -> Breakdown:
    """Evaluate a selection from the four counts, by their names in `Breakdown`."""
    right, wrong, right_kept, wrong_kept = (
        counts[name] for name in ("num_right", "num_wrong", "num_right_kept", "num_wrong_kept")
    )
    rng = np.random.default_rng(0)

    def drawn(part: int, whole: int) -> np.ndarray:
        return rng.beta(part + _PRIOR, whole - part + _PRIOR, _DRAWS)

    phis, psis, errors = drawn(right_kept, right), drawn(wrong_kept, wrong), drawn(wrong, right + wrong)
    points = phis / (phis + psis)
    phi, psi = ratio(right_kept, right), ratio(wrong_kept, wrong)
    point_low, point_high = (float(value) for value in np.quantile(points, (_LOW, _HIGH)))
    error_low, error_high = (float(value) for value in np.quantile(errors, (_LOW, _HIGH)))
    kept = right_kept + wrong_kept
    return Breakdown(
        **counts,
        phi=phi,
        psi=psi,
        point=phi / (phi + psi) if kept else None,
        point_low=point_low,
        point_high=point_high,
        error_rate=ratio(wrong, right + wrong),
        error_low=error_low,
        error_high=error_high,
        kept_error_rate=wrong_kept / kept if kept else None,
        below=float((drawn(right_kept, kept) > 0.5).mean()),
    )
