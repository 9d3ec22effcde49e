"""Counts of hashed n-grams by group of documents, which merge by addition and are compact in JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_toedit.errors import UsageError
from hf_toedit.features.hashing import key
from hf_toedit.features.ngrams import NUM_BUCKETS, HashedTexts
from hf_toedit.packed import packed, unpacked

NUM_GROUPS = 64
"""Number of groups of documents.

Intervals and noise floors are computed from random choices of groups, without another pass over the text.
"""

SHAPE = (2, NUM_GROUPS, NUM_BUCKETS)
"""Orders (unigrams, bigrams), groups, buckets."""

_SIZE = int(np.prod(SHAPE))
_GROUP_BITS = NUM_GROUPS.bit_length() - 1


def group_of(data: bytes, seed: int = 0) -> int:
    """Return the group of a document, by a hash of its text, so that equal documents are in the same group.

    Args:
        data: The text in UTF-8.
        seed: Seed of the groups; must be the same for everything that is merged or compared.
    """
    return key(data, seed) >> 64 - _GROUP_BITS


class NgramGroups:
    """Counts of hashed unigrams and bigrams by group of documents.

    In JSON, they are a packed string: the distances between the indices of nonzero counts (the first from -1), then
    these counts.

    Attributes:
        counts: int64 `[2, 64, 10000]`, see `SHAPE`.
    """

    def __init__(self, counts: np.ndarray | None = None) -> None:
        self.counts = np.zeros(SHAPE, np.int64) if counts is None else counts

    def add(self, texts: HashedTexts, groups: np.ndarray) -> None:
        """Count texts.

        Args:
            texts: n texts.
            groups: int `[n]`, the group of each.
        """
        for counts, ngrams in zip(self.counts, (texts.unigrams, texts.bigrams), strict=True):
            cells, found = np.unique(ngrams.cells(groups), return_counts=True)
            counts.reshape(-1)[cells] += found

    def __add__(self, other: NgramGroups) -> NgramGroups:
        """Add the counts of both."""
        return NgramGroups(self.counts + other.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NgramGroups) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"NgramGroups({self.counts.sum():,} n-grams)"

    @property
    def unigrams(self) -> np.ndarray:
        """Counts of unigrams by group; int64 `[64, 10000]`."""
        return self.counts[0]

    @property
    def bigrams(self) -> np.ndarray:
        """Counts of bigrams by group; int64 `[64, 10000]`."""
        return self.counts[1]

    @property
    def both(self) -> np.ndarray:
        """Counts of both together, the features of DSIR, by group; int64 `[64, 10000]`."""
        return self.counts.sum(axis=0)

    def to_json(self) -> str:
        """Return a string from which `from_json_value` makes an equal object."""
        flat = self.counts.reshape(-1)
        places = np.flatnonzero(flat)
        return packed(np.concatenate([np.diff(places, prepend=-1), flat[places]]))

    @classmethod
    def from_json_value(cls, value: Any, path: str) -> NgramGroups:
        """Read a value that `to_json` wrote.

        Raises:
            UsageError: The value is invalid.
        """
        if not isinstance(value, str):
            raise UsageError(f"{path} must be a string of counts in base64.")
        try:
            numbers = unpacked(value, 2 * _SIZE)
        except ValueError:
            raise _broken(path) from None
        if len(numbers) % 2:
            raise _broken(path)
        steps, found = numbers.reshape(2, -1)
        if (numbers < 1).any() or (steps > _SIZE).any() or steps.sum() > _SIZE:
            raise _broken(path)
        counts = np.zeros(_SIZE, np.int64)
        counts[np.cumsum(steps) - 1] = found
        return cls(counts.reshape(SHAPE))


def _broken(path: str) -> UsageError:
    return UsageError(f"{path} does not hold counts of n-grams: the file is damaged. Delete it and run again.")
