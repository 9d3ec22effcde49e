"""Statistics of a reading: those of an edit that selects nothing, and the likelihoods of some texts one by one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from hf_toedit.mergeable import Statistics
from hf_toedit.stats import NANO, EditStats

if TYPE_CHECKING:
    from typing_extensions import Self

MOST_TEXTS = 500
"""Texts that are kept one by one."""


@dataclass
class ReadStats(EditStats):
    """Counts of a reading of any number of texts.

    Attributes:
        texts: mean negative log-likelihood per scored token, in 1e-9 nats, of the `MOST_TEXTS` texts whose hashes are
            smallest, by hash: a sample of the different texts that is the same for every prior, and in whatever order
            statistics are merged.
    """

    texts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stats: Statistics, read: Iterable[tuple[str, np.ndarray]]) -> Self:
        """The same counts, with the texts that they are of.

        Args:
            stats: the counts, an `EditStats`.
            read: texts, and float32 `[n]` the log-probabilities of their tokens, NaN where not scored.
        """
        found = cls(**{entry.name: getattr(stats, entry.name) for entry in fields(EditStats)})
        for text, logprobs in read:
            if not np.isnan(logprobs).all():
                mean = -np.nanmean(logprobs.astype(np.float64))
                found.texts[xxhash.xxh3_128_hexdigest(text.encode())] = round(float(mean) / NANO)
        found.texts = _first(found.texts)
        return found

    def merge(self, other: Self) -> Self:
        """See `Statistics.merge`; a text that both have is one text."""
        merged = super().merge(other)
        both = {name: min(self.texts[name], other.texts[name]) for name in self.texts.keys() & other.texts.keys()}
        merged.texts = _first({**self.texts, **other.texts, **both})
        return merged


def _first(texts: dict[str, int]) -> dict[str, int]:
    """Those with the smallest hashes."""
    return {name: texts[name] for name in heapq.nsmallest(MOST_TEXTS, texts)}
