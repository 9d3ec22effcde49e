"""A variant: one of the compared datasets, with the figures of its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_toedit import sketch
from hf_toedit.analysis.agreement import agreements
from hf_toedit.analysis.concentration import concentration, entropy
from hf_toedit.analysis.edits import edit_figures
from hf_toedit.errors import UsageError
from hf_toedit.features.text_stats import TextStats
from hf_toedit.stats import EditStats

QUANTILES = (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995)
"""Quantiles of the perplexities of documents; the outermost are the ends of the central 99 %."""


@dataclass(frozen=True)
class Variant:
    """One of the compared datasets.

    Attributes:
        name: The user's name of the dataset.
        source: Its source.
        revision: Revision or fingerprint of the source.
        texts: Statistics of all of its texts.
        readings: Statistics of its texts under priors, by name of the prior.
        sample: Some of its texts, sampled from the whole dataset.
        generations: Statistics of the edit generations that led to it, if it is from an edit run.
    """

    name: str
    source: str
    revision: str
    texts: TextStats
    readings: Mapping[str, EditStats]
    sample: Sequence[str]
    generations: Sequence[EditStats] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the figures of this variant alone."""
        orders = {"unigrams": self.texts.ngrams.unigrams, "bigrams": self.texts.ngrams.bigrams}
        return {
            "source": self.source,
            "revision": self.revision,
            "texts": self.texts.summary(),
            "concentration": {
                order: _concentration(counts.sum(axis=0)) for order, counts in orders.items() if counts.any()
            },
            "readings": {prior: _reading(stats) for prior, stats in self.readings.items()},
            "agreements": agreements(self.readings),
            "edits": edit_figures(self.generations),
        }


def check_texts(name: str, source: str, texts: TextStats) -> None:
    """Check that a variant has text to compare.

    Raises:
        UsageError: None of its texts has a word.
    """
    if not texts.num_words:
        raise UsageError(f"variant {name!r} ({source}) has no text. Name the column of its texts with --text-column.")


def check_reading(name: str, prior: str, reading: EditStats) -> None:
    """Check that a variant has probabilities.

    Raises:
        UsageError: The prior gave no probability to any of its tokens.
    """
    if not reading.num_scored:
        raise UsageError(
            f"prior {prior} gave no token of variant {name!r} a probability: its texts are too short. Leave --prior "
            f"out, or use another."
        )


def coverage(reference: EditStats, other: EditStats) -> dict[str, float]:
    """Return how well the perplexities of a dataset cover those of the reference (Zhu et al. 2024, Appendix D.1).

    Returns:
        `span`: the share of the reference's central 99 %, on a logarithmic scale, that the central 99 % of the other
        covers; `beyond`: the share of the other's documents above the reference's 95th percentile, which is 0.05 if
        both are alike.
    """
    low, high = (np.log(sketch.quantile(reference.perplexity_bins, q)) for q in (QUANTILES[0], QUANTILES[-1]))
    first, last = (np.log(sketch.quantile(other.perplexity_bins, q)) for q in (QUANTILES[0], QUANTILES[-1]))
    span = (min(high, last) - max(low, first)) / (high - low) if high > low else float(first <= low <= last)
    limit = int(sketch.bins_of(np.array([sketch.quantile(reference.perplexity_bins, 0.95)]))[0])
    above = sum(count for number, count in other.perplexity_bins.items() if number > limit)
    return {"span": float(max(span, 0.0)), "beyond": above / sum(other.perplexity_bins.values())}


def _concentration(counts: np.ndarray) -> dict[str, float]:
    found = concentration(counts)
    return {
        "top_share": found.top_share,
        "gini": found.gini,
        "entropy_bits": found.entropy,
        "max_entropy_bits": found.max_entropy,
    }


def _reading(stats: EditStats) -> dict[str, Any]:
    bins = stats.probability_histogram
    interval = sketch.median_interval(stats.perplexity_bins)
    return {
        "num_documents": sum(stats.perplexity_bins.values()),
        "num_tokens": stats.num_tokens,
        "perplexity": stats.perplexity,
        "perplexity_quantiles": {str(q): sketch.quantile(stats.perplexity_bins, q) for q in QUANTILES},
        "median_perplexity_interval": None if interval is None else list(interval),
        "probability_shares": [count / sum(bins) for count in bins],
        "probability_entropy_bits": entropy(bins),
        "max_probability_entropy_bits": float(np.log2(len(bins))),
    }
