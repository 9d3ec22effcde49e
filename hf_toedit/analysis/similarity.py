"""How much the texts of a dataset are like each other, by locality-sensitive hashes.

Zhu et al. 2024 (arXiv 2412.14689, Figure 12): the texts of a dataset are hashed into 1,000 rows of 20,000 buckets each,
such that texts that are alike often share a bucket; the more texts the fullest buckets hold, the less varied they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_toedit.analysis.concentration import concentration
from hf_toedit.analysis.variant import Variant
from hf_toedit.features.density import DensityTable, MinHash

_MOST = 2_000
"""Texts of each dataset, at most."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """How much texts are like each other.

    Attributes:
        num_texts: how many were hashed.
        mean: the mean similarity of two texts: the share of their words and pairs of words that both have (Jaccard).
        responses: float64 `[20000]`, texts in a bucket, the fullest first, as means over the rows of the table.
    """

    num_texts: int
    mean: float
    responses: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """The figures, without the responses."""
        found = concentration(self.responses)
        return {
            "num_texts": self.num_texts,
            "mean_similarity": self.mean,
            "top_share": found.top_share,
            "gini": found.gini,
            "entropy_bits": found.entropy,
            "max_entropy_bits": found.max_entropy,
        }


def similarities(variants: Sequence[Variant]) -> dict[str, Similarity]:
    """Of as many texts of each variant, since these figures depend on how many there are; by name."""
    count = min(_MOST, *(len(variant.sample) for variant in variants))
    return {variant.name: _similarity(variant.sample[:count]) for variant in variants}


def _similarity(texts: Sequence[str]) -> Similarity:
    table = DensityTable()
    table.add(MinHash().buckets(texts))
    counts, size = table.counts.astype(np.float64), len(texts)
    pairs = len(counts) * size * (size - 1)
    mean = float((counts * (counts - 1)).sum() / pairs) if pairs else 0.0
    return Similarity(size, mean, np.sort(counts, axis=1)[:, ::-1].mean(axis=0))
