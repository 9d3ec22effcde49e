"""A comparison of datasets: all figures by name, with intervals, noise floors and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hf_toedit.analysis.divergence import diverge
from hf_toedit.analysis.embedding import EmbeddingView
from hf_toedit.analysis.similarity import Similarity, similarities
from hf_toedit.analysis.variant import Variant, coverage
from hf_toedit.features.diversity import diversity
from hf_toedit.features.ngrams import words
from hf_toedit.version import __version__


def compared(
    variants: Sequence[Variant],
    *,
    epsilon: float | None = None,
    seed: int = 0,
    sampled_rows: int | None = None,
    overlaps: Sequence[dict[str, Any]] = (),
    view: EmbeddingView | None = None,
    similar: Mapping[str, Similarity] | None = None,
) -> dict[str, Any]:
    """Compare each variant with the first one, the reference.

    Args:
        variants: Two or more, with different names, read by the same priors; see `check_texts` and `check_reading`.
        epsilon: Bits of KL divergence up to which data is semi-synthetic; see `analysis.divergence`.
        seed: Random seed.
        sampled_rows: Maximum number of rows sampled from each source; None if all rows were used.
        overlaps: Overlaps between the edits of two variants, see `analysis.edits`.
        view: The embedding view, see `analysis.embedding`.
        similar: Similarity of the texts within each variant, by name; None to compute it.

    Returns:
        JSON values: `reference`; `variants`, by name, with the figures of each alone; `comparisons`, by name, with
        `verdict`, `reason`, `divergence` of unigrams, bigrams and both together (in bits, each with its interval and
        noise floor), and `coverage` by prior; `overlaps`, and `embedding`, which is None without a view.

    Raises:
        UsageError: epsilon is not above zero.
    """
    reference, *others = variants
    similar = similarities(variants) if similar is None else similar
    num_words = min(sum(len(words(text)) for text in variant.sample) for variant in variants)
    return {
        "version": __version__,
        "seed": seed,
        "sampled_rows": sampled_rows,
        "reference": reference.name,
        "variants": {
            variant.name: {
                **variant.to_json(),
                "diversity": _diversity(variant, num_words),
                "similarity": similar[variant.name].to_json(),
            }
            for variant in variants
        },
        "comparisons": {other.name: _against(reference, other, epsilon, seed) for other in others},
        "overlaps": list(overlaps),
        "embedding": view.to_json() if view else None,
    }


def _against(reference: Variant, other: Variant, epsilon: float | None, seed: int) -> dict[str, Any]:
    mine, theirs = reference.texts.ngrams, other.texts.ngrams
    pairs = {
        "both": (mine.both, theirs.both),
        "unigrams": (mine.unigrams, theirs.unigrams),
        "bigrams": (mine.bigrams, theirs.bigrams),
    }
    found = {order: diverge(*pair, epsilon=epsilon, seed=seed) for order, pair in pairs.items()}
    return {
        "verdict": found["both"].verdict,
        "reason": found["both"].reason,
        "divergence": {order: divergence.to_json() for order, divergence in found.items()},
        "coverage": {prior: coverage(stats, other.readings[prior]) for prior, stats in reference.readings.items()},
    }


def _diversity(variant: Variant, num_words: int) -> dict[str, Any]:
    """Return figures over the same number of words of each variant, because they depend on that number."""
    found = asdict(diversity(variant.sample, num_words))
    found["distinct"] = {str(order): share for order, share in found["distinct"].items()}
    return found
