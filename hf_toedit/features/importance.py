"""Importance weights of DSIR, and sampling by them without replacement.

Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv 2302.03169, sections 3 and 4: a
text x has the weight p_target(x) / p_raw(x), where both p are bags of hashed n-grams, and texts are sampled by weight
without replacement by the Gumbel top-k trick.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_toedit.errors import UsageError
from hf_toedit.features.hashing import key, mixed
from hf_toedit.features.ngrams import HashedTexts

SMOOTHING = 1e-8
"""Added to the probability of each bucket, as the authors' package `data-selection` does."""


def log_ratios(target: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """The log-ratio of each bucket: ln p_target - ln p_raw.

    Args:
        target: int `[num_buckets]`, counts of both orders of n-grams in the target.
        raw: The same of the data to select from.

    Returns:
        float64 `[num_buckets]`.

    Raises:
        UsageError: One of them has no n-grams.
    """
    for name, counts in (("target", target), ("source", raw)):
        if not counts.sum():
            raise UsageError(f"The {name} has no words, so rows cannot be weighted by it. Name data that has text.")
    return np.log(target / target.sum() + SMOOTHING) - np.log(raw / raw.sum() + SMOOTHING)


def log_weights(texts: HashedTexts, ratios: np.ndarray) -> np.ndarray:
    """The log-weight of each text: ln p_target(x) - ln p_raw(x).

    It grows with the length of a text, in either direction: the authors' package selects among texts of at least 100
    words for that reason.

    Args:
        texts: n texts.
        ratios: Those of `log_ratios`.

    Returns:
        float64 `[n]`; 0 of a text without words. It depends on the text alone.
    """
    return texts.sums(ratios)


def row_keys(names: Sequence[str]) -> np.ndarray:
    """A key of each row from what names it, such as its text, or its file and its place there.

    Rows of the same name have the same key, and so the same noise in `gumbel_scores`.

    Returns:
        uint64 `[n]`, the same on every machine.
    """
    return np.array([key(name.encode()) for name in names], np.uint64)


def gumbel_scores(weights: np.ndarray, keys: np.ndarray, seed: int) -> np.ndarray:
    """Log-weights plus Gumbel noise: the k rows of the largest scores are a sample without replacement.

    Each next row is sampled in proportion to its weight among the rows that are left (Kool, van Hoof and Welling 2019,
    "Stochastic Beams and Where to Find Them", section 2.3).

    Args:
        weights: float64 `[n]`, log-weights.
        keys: uint64 `[n]`, see `row_keys`.
        seed: Of the noise.

    Returns:
        float64 `[n]`; each depends on the weight and key of its row and on the seed, not on other rows.
    """
    offset = np.uint64(key(str(seed).encode()))
    uniforms = ((mixed(mixed(keys) + offset) >> np.uint64(12)) + 0.5) * 2.0**-52  # never 0 or 1
    return np.asarray(weights, np.float64) - np.log(-np.log(uniforms))


def top_k(scores: np.ndarray, keys: np.ndarray, k: int) -> np.ndarray:
    """The places of the k largest scores; of equal ones, those of the smallest keys.

    Args:
        scores: float64 `[n]`.
        keys: uint64 `[n]`.
        k: How many; all where there are no more.

    Returns:
        int64 `[min(k, n)]`, ascending.

    Raises:
        UsageError: A score is not a number, or k is negative.
    """
    if k < 0:
        raise UsageError(f"k {k} is out of range: it must be at least 0.")
    if np.isnan(scores).any():
        raise UsageError(f"{np.isnan(scores).sum():,} of {len(scores):,} scores are not numbers. Leave these rows out.")
    if k == 0 or k >= len(scores):
        return np.arange(min(k, len(scores)))
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
    equal = equal[np.argsort(keys[equal], kind="stable")]
    return np.sort(np.concatenate([above, equal[: k - len(above)]]))
