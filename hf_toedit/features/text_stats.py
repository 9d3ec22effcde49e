"""Statistics of texts: number, lengths, compression, and hashed n-grams by group of documents."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from hf_toedit import sketch
from hf_toedit.features.ngram_groups import NUM_GROUPS, NgramGroups, group_of
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.mergeable import Count, Statistics, ratio

GroupSizes = Annotated[list[Count], Meta(min_length=NUM_GROUPS, max_length=NUM_GROUPS)]

QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Quantiles of document lengths in a summary."""


@dataclass
class TextStats(Statistics):
    """Counts of the texts of any number of rows; words are those of `ngrams`.

    Attributes:
        num_rows: Number of rows read.
        num_documents: Number of texts read; a row may contain several.
        num_skipped: Number of texts that were not counted, by cause.
        skip_reasons: Error message of one such text, by cause.
        num_tokens: Number of words of the counted texts; here, tokens are words.
        num_bytes: Their size in UTF-8 bytes.
        num_characters: Their number of characters.
        num_bytes_compressed: Sum of their sizes, each compressed by zlib at its default level; builds of zlib differ in
            it by about 1 %.
        word_bins: Number of these texts by number of words, in the bins of `sketch`.
        byte_bins: Number of these texts by number of bytes, in the same bins.
        group_sizes: Number of these texts by group, see `ngram_groups`.
        ngrams: Their hashed n-grams by group.
        seconds: Wall-clock time by stage.
    """

    num_rows: Count = 0
    num_documents: Count = 0
    num_skipped: dict[str, Count] = field(default_factory=Counter)
    skip_reasons: dict[str, str] = field(default_factory=dict)
    num_tokens: Count = 0
    num_bytes: Count = 0
    num_characters: Count = 0
    num_bytes_compressed: Count = 0
    word_bins: dict[int, Count] = field(default_factory=dict)
    byte_bins: dict[int, Count] = field(default_factory=dict)
    group_sizes: GroupSizes = field(default_factory=lambda: [0] * NUM_GROUPS)
    ngrams: NgramGroups = field(default_factory=NgramGroups)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make missing counts zero, also after reading JSON."""
        self.num_skipped = Counter(self.num_skipped)

    def __repr__(self) -> str:
        return f"TextStats({self.headline})"

    @property
    def headline(self) -> str:
        """The most important figures in a few words."""
        return f"{self.amount}, compression ratio {self.compression_ratio:.3g}"

    @property
    def num_words(self) -> int:
        """Number of words of the counted texts."""
        return self.num_tokens

    @property
    def compression_ratio(self) -> float:
        """Bytes per compressed byte, each text alone; higher for repetitive texts, 0 without text."""
        return ratio(self.num_bytes, self.num_bytes_compressed)

    def add(self, texts: Sequence[str], counter: HashedNgrams, seed: int = 0) -> None:
        """Count texts.

        Args:
            texts: The texts.
            counter: Hashes their n-grams into `NUM_BUCKETS`; it caches words, so reuse it for further texts.
            seed: Seed of the groups, see `group_of`.
        """
        data = [text.encode() for text in texts]
        hashed = counter.count(texts)
        groups = np.array([group_of(each, seed) for each in data], np.int64)
        num_bytes = np.array([len(each) for each in data], np.int64)
        self.num_documents += len(texts)
        self.num_tokens += int(hashed.unigrams.lengths.sum())
        self.num_bytes += int(num_bytes.sum())
        self.num_characters += sum(map(len, texts))
        self.num_bytes_compressed += sum(len(zlib.compress(each)) for each in data)
        sketch.count(self.word_bins, hashed.unigrams.lengths.astype(np.float64))
        sketch.count(self.byte_bins, num_bytes.astype(np.float64))
        found = np.bincount(groups, minlength=NUM_GROUPS).tolist()
        self.group_sizes = [before + more for before, more in zip(self.group_sizes, found, strict=True)]
        self.ngrams.add(hashed, groups)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_json` makes an equal object."""
        return {**super().to_json(), "ngrams": self.ngrams.to_json()}

    def summary(self) -> dict[str, Any]:
        """Return the figures of a report; without those of documents if there are none."""
        figures: dict[str, Any] = {
            "num_rows": self.num_rows,
            "num_documents": self.num_documents,
            "num_skipped": dict(sorted(self.num_skipped.items())),
            "num_words": self.num_words,
            "num_characters": self.num_characters,
            "num_bytes": self.num_bytes,
        }
        if self.num_read:
            figures |= {
                "compression_ratio": self.compression_ratio,
                "mean_words": self.num_words / self.num_read,
                "mean_bytes": self.num_bytes / self.num_read,
                "word_quantiles": {str(q): sketch.quantile(self.word_bins, q) for q in QUANTILES},
                "byte_quantiles": {str(q): sketch.quantile(self.byte_bins, q) for q in QUANTILES},
            }
        return figures
