"""The density of texts in a dataset: sums of similarities, from a table of locality-sensitive hashes.

Sachdeva et al. 2024, "How to Train Data-Efficient LLMs" (arXiv 2402.09668), section 3.2: the density of a text is the
sum of its similarities to all others, which a table of hashes estimates in one pass (Coleman and Shrivastava 2020,
"Sub-linear RACE Sketches for Approximate Kernel Density Estimation"). The paper embeds texts with a model; here, a text
is the set of its words and pairs of words, and similarity is the Jaccard index of two sets. The hash is one-permutation
MinHash (Li, Owen and Zhang 2012), with empty bins filled from their neighbours (Shrivastava and Li 2014). The table has
1,000 rows of 20,000 buckets, as in Figure 12 of Zhu et al. 2024 (arXiv 2412.14689).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_toedit.features.hashing import mixed
from hf_toedit.features.ngrams import HashedNgrams, Ngrams

NUM_ROWS, NUM_BUCKETS = 1_000, 20_000
"""Size of the table."""

_WHOLE = 2**62
"""Number of buckets for n-grams: so large that the buckets are the hashes themselves."""

_EMPTY = np.iinfo(np.uint64).max


class MinHash:
    """Hashes texts so that two texts have more equal hashes the more n-grams they have in common."""

    def __init__(self) -> None:
        """Start with an empty hasher."""
        self._ngrams = HashedNgrams(_WHOLE)

    def buckets(self, texts: Sequence[str]) -> np.ndarray:
        """Return the bucket of each text in each row of the table.

        Args:
            texts: n texts.

        Returns:
            uint16 `[n, 1000]`, below 20,000; a text without words has buckets of its own, not those of any n-gram.
        """
        hashed = self._ngrams.count(texts)
        least = np.full(len(texts) * NUM_ROWS, _EMPTY)
        for number, ngrams in enumerate((hashed.unigrams, hashed.bigrams)):
            hashes = mixed(ngrams.buckets.view(np.uint64) + np.uint64(number << 63))
            cells = _documents(ngrams) * NUM_ROWS + (hashes % np.uint64(NUM_ROWS)).astype(np.int64)
            np.minimum.at(least, cells, hashes // np.uint64(NUM_ROWS))
        filled = _filled(least.reshape(len(texts), NUM_ROWS))
        salted = mixed(filled + mixed(np.arange(NUM_ROWS, dtype=np.uint64)))
        return (salted % np.uint64(NUM_BUCKETS)).astype(np.uint16)


class DensityTable:
    """Counts of hashes, which give the density of any text.

    Attributes:
        counts: Number of texts by row and bucket; uint32 `[1000, 20000]`.
        num_texts: Number of texts counted.
    """

    def __init__(self, counts: np.ndarray | None = None, num_texts: int = 0) -> None:
        """Start with counts, or with zeros."""
        self.counts = np.zeros((NUM_ROWS, NUM_BUCKETS), np.uint32) if counts is None else counts
        self.num_texts = num_texts

    def add(self, buckets: np.ndarray) -> None:
        """Count texts.

        Args:
            buckets: uint16 `[n, 1000]`, see `MinHash`.
        """
        for row, counts in zip(buckets.T, self.counts, strict=True):
            np.add.at(counts, row, 1)
        self.num_texts += len(buckets)

    def densities(self, buckets: np.ndarray) -> np.ndarray:
        """Return the mean similarity of each text to the counted texts.

        Two texts with nothing in common count as 1/20,000 similar, due to chance collisions.

        Args:
            buckets: uint16 `[n, 1000]`, see `MinHash`.

        Returns:
            float64 `[n]`, from 0 to 1.
        """
        found = self.counts[np.arange(NUM_ROWS), buckets.astype(np.int64)]
        return found.mean(axis=1) / max(self.num_texts, 1)

    def responses(self) -> np.ndarray:
        """Return the share of the texts in each bucket, fullest first, as means over rows (Figure 12); `[20000]`."""
        ordered = np.sort(self.counts, axis=1)[:, ::-1]
        return np.asarray(ordered.mean(axis=0) / max(self.num_texts, 1))


def _documents(ngrams: Ngrams) -> np.ndarray:
    """Return the index of the text of each n-gram; int64 `[total]`."""
    return np.repeat(np.arange(len(ngrams.lengths)), ngrams.lengths)


def _filled(least: np.ndarray) -> np.ndarray:
    """Fill each empty place from the next nonempty place to its right, wrapping around."""
    there = least != _EMPTY
    places = np.arange(NUM_ROWS)
    twice = np.concatenate([there, there], axis=1)
    following = np.where(twice, np.arange(2 * NUM_ROWS), 2 * NUM_ROWS)
    following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1][:, places]
    some = there.any(axis=1)
    found = least.copy()
    found[some] = np.take_along_axis(least[some], following[some] % NUM_ROWS, axis=1)
    return found
