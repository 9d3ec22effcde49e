"""Words of texts, and their n-grams hashed into buckets.

Words are those of DSIR (Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv
2302.03169): in the lower-case text, runs of word characters, combining marks included, and runs of characters that are
neither these nor whitespace. Unlike there, each Han or kana character is a word: Chinese and Japanese have no spaces
between words, and a run would be a whole clause, which hardly ever occurs twice.

The hash of a word is cached, and a bigram is hashed from the hashes of its words, without building a string. A bucket
depends only on the words: it is the same on every machine. Python's version of Unicode determines which characters are
letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import category

import numpy as np

from hf_toedit.errors import UsageError
from hf_toedit.features.hashing import key, mixed

NUM_BUCKETS = 10_000
"""The number of buckets in DSIR."""

_HAN_AND_KANA = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_SPACED = (*range(0x300, 0xE00), *range(0xF00, 0x1000), *range(0x10A0, 0x1780), *range(0x1800, 0x3000))
_MARKS = "\u200c\u200d" + "".join(chr(code) for code in _SPACED if category(chr(code)).startswith("M"))
"""Joiners and combining marks, such as vowel signs, without which `re` would split Hindi words.

Those of Thai, Lao, Burmese and Khmer are left out: these have no spaces between words, and are split there at least.
"""

_word = re.compile(rf"(?:[^\W{_HAN_AND_KANA}]+|[{_MARKS}])+|[^\w\s{_MARKS}]+|[{_HAN_AND_KANA}]").findall
_space = re.compile(r"\s").search

_PIECE = 1 << 20
"""Number of characters whose words are held at once; a piece ends at a space, where a word always ends."""

_MOST_KNOWN = 1 << 18
"""Number of cached words, about 50 MB."""

_LONGEST_KNOWN = 64
"""Maximum number of characters of a cached word."""

_ODD = np.uint64(0x9E3779B97F4A7C15)
"""Makes the hash of a bigram depend on the order of its words."""


def words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    return _word(text.lower())


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of n texts, each as its bucket: a sparse matrix of counts `[n, num_buckets]`.

    Attributes:
        buckets: Buckets of the n-grams of the first text in order, then of the second, …; int64 `[total]`.
        offsets: Those of text i are `buckets[offsets[i]:offsets[i + 1]]`; int64 `[n + 1]`.
        num_buckets: Number of buckets.
    """

    buckets: np.ndarray
    offsets: np.ndarray
    num_buckets: int

    @property
    def lengths(self) -> np.ndarray:
        """Number of n-grams of each text; int64 `[n]`."""
        return np.diff(self.offsets)

    def total(self) -> np.ndarray:
        """Return counts over all texts; int64 `[num_buckets]`."""
        return np.bincount(self.buckets, minlength=self.num_buckets)

    def dense(self) -> np.ndarray:
        """Return counts of each text; int64 `[n, num_buckets]`."""
        return self.by_group(np.arange(len(self.offsets) - 1), len(self.offsets) - 1)

    def by_group(self, groups: np.ndarray, num_groups: int) -> np.ndarray:
        """Return counts over the texts of each group; int64 `[num_groups, num_buckets]`.

        Args:
            groups: Group of each text; int `[n]`.
            num_groups: Number of groups.
        """
        cells = self.cells(groups)
        return np.bincount(cells, minlength=num_groups * self.num_buckets).reshape(num_groups, self.num_buckets)

    def cells(self, groups: np.ndarray) -> np.ndarray:
        """Return the flat index in `by_group` of each n-gram; int64 `[total]`."""
        return np.repeat(np.asarray(groups, np.int64) * self.num_buckets, self.lengths) + self.buckets

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the product with a vector: for each text, the sum of the values of its n-grams.

        A sum depends only on its own text.

        Args:
            values: float64 `[num_buckets]`.

        Returns:
            float64 `[n]`; 0 for a text without n-grams.
        """
        sums = np.zeros(len(self.offsets) - 1)
        some = self.lengths > 0
        if some.any():
            sums[some] = np.add.reduceat(values[self.buckets], self.offsets[:-1][some])
        return sums


@dataclass(frozen=True)
class HashedTexts:
    """The n-grams of several texts. The features of DSIR are both orders together.

    Attributes:
        unigrams: One per word.
        bigrams: One per pair of adjacent words of a text.
    """

    unigrams: Ngrams
    bigrams: Ngrams

    def total(self) -> np.ndarray:
        """Return counts of both orders over all texts; int64 `[num_buckets]`."""
        return self.unigrams.total() + self.bigrams.total()

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return, for each text, the sum of the values of both orders of n-grams, see `Ngrams.sums`; float64 `[n]`."""
        return self.unigrams.sums(values) + self.bigrams.sums(values)


class HashedNgrams:
    """Counts the unigrams and bigrams of texts in buckets.

    Args:
        num_buckets: Number of buckets.

    Raises:
        UsageError: `num_buckets` is less than 1.
    """

    def __init__(self, num_buckets: int = NUM_BUCKETS) -> None:
        if num_buckets < 1:
            raise UsageError(f"num_buckets {num_buckets} is out of range: it must be at least 1.")
        self.num_buckets = num_buckets
        self._known = _Hashes()

    def count(self, texts: Sequence[str]) -> HashedTexts:
        """Return the n-grams of texts, in linear time and memory."""
        hashes = [self._hashes(text) for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(found) for found in hashes], dtype=np.int64)])
        flat = np.concatenate([np.empty(0, np.uint64), *hashes])
        starts = np.arange(1, len(flat))
        starts = np.delete(starts, offsets[(offsets > 0) & (offsets < len(flat))] - 1)  # without pairs across texts
        bigrams = mixed(flat[starts - 1] * _ODD ^ flat[starts])
        before = offsets - np.concatenate([[0], np.cumsum(np.diff(offsets) > 0)])
        return HashedTexts(self._ngrams(flat, offsets), self._ngrams(bigrams, before))

    def _hashes(self, text: str) -> np.ndarray:
        """Return the hashes of the words of a text; uint64 `[num_words]`."""
        known = self._known.__getitem__
        found = [np.fromiter(map(known, words(piece)), np.int64) for piece in _pieces(text)]
        return (found[0] if len(found) == 1 else np.concatenate(found)).view(np.uint64)

    def _ngrams(self, hashes: np.ndarray, offsets: np.ndarray) -> Ngrams:
        return Ngrams((hashes % np.uint64(self.num_buckets)).astype(np.int64), offsets, self.num_buckets)


class _Hashes(dict[str, int]):
    """A cache of word hashes: 63 bits of a word's XXH3, which fit an int64."""

    def __missing__(self, word: str) -> int:
        value = key(word.encode()) >> 1
        if len(word) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[word] = value
        return value


def _pieces(text: str) -> Iterator[str]:
    """Split a text into at least one piece, without splitting words."""
    start = 0
    while (space := _space(text, start + _PIECE)) is not None:
        yield text[start : space.start()]
        start = space.start()
    yield text[start:]
