"""Importance weights of DSIR, and sampling by them without replacement.

Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv 2302.03169, sections 3 and 4: a
text x has the weight p_target(x) / p_raw(x), where both p are bags of hashed n-grams, and texts are sampled by weight
without replacement with the Gumbel top-k trick.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_toedit.errors import UsageError
from hf_toedit.features.hashing import key, mixed
from hf_toedit.features.ngrams import HashedTexts

SMOOTHING = 1e-8
"""Added to the probability of each bucket, as in the authors' package `data-selection`."""


def log_ratios(target: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return the log-ratio of each bucket: ln p_target - ln p_raw.

    Args:
        target: Counts of both orders of n-grams in the target; int `[num_buckets]`.
        raw: The same counts of the data to select from.
    """
    for name, counts in (("target", target), ("source", raw)):
        if not counts.sum():
            raise UsageError(f"The {name} has no words, so rows cannot be weighted by it. Name data that has text.")
    return np.log(target / target.sum() + SMOOTHING) - np.log(raw / raw.sum() + SMOOTHING)


def log_weights(texts: HashedTexts, ratios: np.ndarray) -> np.ndarray:
    """Return the log-weight of each text: ln p_target(x) - ln p_raw(x).

    Its magnitude grows with the length of a text; for that reason, the authors' package only selects texts of at least
    100 words.

    Args:
        texts: n texts.
        ratios: Output of `log_ratios`.

    Returns:
        float64 `[n]`; 0 for a text without words. Each weight depends only on its own text.
    """
    return texts.sums(ratios)


def row_keys(names: Sequence[str]) -> np.ndarray:
    """Return a key of each row from its name, such as its text, or its file and its position in the file.

    Rows with the same name have the same key, and so the same noise in `gumbel_scores`.
    """
    return np.array([key(name.encode()) for name in names], np.uint64)


def gumbel_scores(weights: np.ndarray, keys: np.ndarray, seed: int) -> np.ndarray:
    """Return log-weights plus Gumbel noise: the k rows with the largest scores are a sample without replacement.

    Each row is sampled in proportion to its weight among the remaining rows (Kool, van Hoof and Welling 2019,
    "Stochastic
    Beams and Where to Find Them", section 2.3).

    Args:
        weights: float64 `[n]`, log-weights.
        keys: uint64 `[n]`, see `row_keys`.
        seed: Random seed of the noise.

    Returns:
        float64 `[n]`; each depends only on the weight and key of its row and on the seed.
    """
    offset = np.uint64(key(str(seed).encode()))
    uniforms = ((mixed(mixed(keys) + offset) >> np.uint64(12)) + 0.5) * 2.0**-52  # never 0 or 1
    return np.asarray(weights, np.float64) - np.log(-np.log(uniforms))


def top_k(scores: np.ndarray, keys: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k largest scores; ties are broken by the smallest keys.

    Args:
        scores: float64 `[n]`.
        keys: uint64 `[n]`.
        k: Number of scores; all if there are fewer.
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
