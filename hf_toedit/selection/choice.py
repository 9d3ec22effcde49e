"""Choice of rows by their scores: the best, the middle, those above a threshold, or a weighted sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from hf_toedit.config import BaseConfig
from hf_toedit.errors import UsageError
from hf_toedit.features.hashing import key, mixed
from hf_toedit.features.importance import gumbel_scores, top_k

Keep = Literal["highest", "middle", "lowest", "above", "below"]

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Quantiles of scores in reports."""


@dataclass(frozen=True)
class Choice(BaseConfig):
    """How many rows are kept, and which of them.

    Attributes:
        keep: `highest`, `lowest` or `middle` keep the number of rows given by `rows` or `rate`: those with the highest
            or the lowest scores, or those nearest to the middle of all rows in order of their scores (Marion et al.
            2023, arXiv 2309.04564). `above` and `below` keep the rows whose scores reach, or do not exceed, the
            threshold.
        rows: Number of rows to keep.
        rate: Rows to keep, as a share of all rows of the source.
        threshold: Score at which rows are kept.
        sampled: Add Gumbel noise to the scores first, as log-weights: with `highest` this samples rows without
            replacement in proportion to their weights (see `features/importance.py`).
        seed: Random seed for the noise, and for the order of equal scores.
    """

    keep: Keep
    rows: Annotated[int, Meta(ge=1)] | None = None
    rate: Annotated[float, Meta(gt=0, le=1)] | None = None
    threshold: float | None = None
    sampled: bool = False
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        """Check the values and their combination."""
        super().__post_init__()
        given = [name for name in ("rows", "rate", "threshold") if getattr(self, name) is not None]
        if len(given) != 1:
            problem = (
                f"{' and '.join('--' + name for name in given)} are given" if given else "no number of rows is given"
            )
            raise UsageError(f"{problem}. Use one of --rows, --rate and --threshold.")
        by_threshold = self.keep in ("above", "below")
        if by_threshold != (given == ["threshold"]):
            wanted = "--threshold" if by_threshold else "--rows or --rate"
            raise UsageError(f"--keep {self.keep} needs {wanted}, not --{given[0]}.")

    def rows_of(self, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return the rows that are kept.

        Args:
            values: float64 `[n]`, a score per row; NaN for a row without one, which is not kept.
            keys: uint64 `[n]`, see `keys_of`.

        Returns:
            int64 `[k]`, ascending.

        Raises:
            UsageError: Fewer rows have a score than requested, or none is kept.
        """
        scored = np.flatnonzero(~np.isnan(values))
        if self.threshold is not None:
            values = values[scored]
            kept = scored[values >= self.threshold if self.keep == "above" else values <= self.threshold]
            if not len(kept):
                raise UsageError(
                    f"no row has a score {self.keep} {self.threshold:g}{_range(values)}. Choose another threshold."
                )
            return kept
        count = self.rows if self.rows is not None else round((self.rate or 0) * len(values))
        if not count:
            raise UsageError(f"a rate of {self.rate:g} keeps none of {len(values):,} rows. Name a larger one.")
        if count > len(scored):
            unscored = len(values) - len(scored)
            without = f", {unscored:,} of them without a score" if unscored else ""
            raise UsageError(f"{count:,} rows are asked for, and there are {len(values):,}{without}. Ask for fewer.")
        keys = mixed(keys[scored] + np.uint64(key(str(self.seed).encode())))
        return scored[top_k(self._ranked(values[scored], keys), keys, count)]

    def _ranked(self, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return numbers, the highest of which are kept; float64 `[n]`."""
        if self.sampled:
            values = gumbel_scores(values, keys, self.seed)
        if self.keep == "highest":
            return values
        if self.keep == "lowest":
            return -values
        ranks = np.empty(len(values))
        ranks[np.lexsort((keys, values))] = np.arange(len(values))
        return -np.abs(ranks - (len(values) - 1) / 2)


def keys_of(split: str, num_rows: int) -> np.ndarray:
    """Return a key per row of a split from its position there, whatever the shards: uint64 `[num_rows]`."""
    return mixed(np.arange(num_rows, dtype=np.uint64) + np.uint64(key(split.encode())))


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Return quantiles of the scores that are not NaN, by the ranks of `sketch`; empty if there are none."""
    there = values[~np.isnan(values)]
    if not len(there):
        return {}
    found = np.quantile(there, QUANTILES, method="inverted_cdf")
    return {str(q): float(value) for q, value in zip(QUANTILES, found, strict=True)}


def _range(values: np.ndarray) -> str:
    return f": they are from {values.min():.6g} to {values.max():.6g}" if len(values) else ": no row has any"
