"""Similarity of the texts within a dataset, by locality-sensitive hashes.

Zhu et al. 2024 (arXiv 2412.14689, Figure 12): the texts of a dataset are hashed into 1,000 rows of 20,000 buckets each,
so that similar texts often share a bucket; the more texts the fullest buckets contain, the less varied the texts are.
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
"""Maximum number of texts of each dataset."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """Similarity of texts.

    Attributes:
        num_texts: Number of texts hashed.
        mean: Mean similarity of two texts: the Jaccard index of their words and pairs of words.
        responses: Number of texts per bucket, fullest first, as means over the rows of the table; float64 `[20000]`.
    """

    num_texts: int
    mean: float
    responses: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return the figures, without the responses."""
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
    """Return similarities by variant name, over equally many texts each, because they depend on that number."""
    count = min(_MOST, *(len(variant.sample) for variant in variants))
    return {variant.name: _similarity(variant.sample[:count]) for variant in variants}


def _similarity(texts: Sequence[str]) -> Similarity:
    table = DensityTable()
    table.add(MinHash().buckets(texts))
    counts, size = table.counts.astype(np.float64), len(texts)
    pairs = len(counts) * size * (size - 1)
    mean = float((counts * (counts - 1)).sum() / pairs) if pairs else 0.0
    return Similarity(size, mean, np.sort(counts, axis=1)[:, ::-1].mean(axis=0))
