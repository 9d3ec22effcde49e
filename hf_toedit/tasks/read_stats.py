"""Statistics of a reading: those of an edit that selects nothing, and the likelihoods of individual texts."""

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
"""Maximum number of texts that are recorded individually."""


@dataclass
class ReadStats(EditStats):
    """Counts of a reading of any number of texts.

    Attributes:
        texts: Mean negative log-likelihood per scored token, in 1e-9 nats, of the `MOST_TEXTS` texts with the smallest
            hashes, by hash: a sample of the distinct texts that is the same for every prior and every order of merging.
    """

    texts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stats: Statistics, read: Iterable[tuple[str, np.ndarray]]) -> Self:
        """Return the same counts, with the likelihoods of individual texts.

        Args:
            stats: The counts, an `EditStats`.
            read: Texts and the log-probabilities of their tokens, float32 `[n]`, NaN where not scored.
        """
        found = cls(**{entry.name: getattr(stats, entry.name) for entry in fields(EditStats)})
        for text, logprobs in read:
            if not np.isnan(logprobs).all():
                mean = -np.nanmean(logprobs.astype(np.float64))
                found.texts[xxhash.xxh3_128_hexdigest(text.encode())] = round(float(mean) / NANO)
        found.texts = _first(found.texts)
        return found

    def merge(self, other: Self) -> Self:
        """See `Statistics.merge`; a text in both counts as one text."""
        merged = super().merge(other)
        both = {name: min(self.texts[name], other.texts[name]) for name in self.texts.keys() & other.texts.keys()}
        merged.texts = _first({**self.texts, **other.texts, **both})
        return merged


def _first(texts: dict[str, int]) -> dict[str, int]:
    """Return the texts with the smallest hashes."""
    return {name: texts[name] for name in heapq.nsmallest(MOST_TEXTS, texts)}
