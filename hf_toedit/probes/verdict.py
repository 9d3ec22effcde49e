r"""Verdicts on which variants make better models, from differences with intervals.

The figure is the log perplexity of an evaluation set: the summed negative log-likelihood of its documents divided by
their number of tokens. *Over all* is the mean of the log perplexities of the sets, regardless of their sizes. A
difference is that of a variant minus that of the reference, for the same seed and the same documents.

A difference would be different with other seeds (initial weights, order of the data) and with other held-out
documents. Its variance is estimated as

    V = V_seeds + V_documents

where V_seeds is the variance of the differences of single seeds divided by their number, and V_documents is that of the
mean difference over seeds when documents are sampled with replacement. The effect of a seed on single documents counts
in both, which makes V slightly too large, never too small. The interval is D +- t sqrt(V), where t is a quantile of
Student's t with the degrees of freedom of Welch and Satterthwaite. With three seeds, that is a wide interval if seeds
matter (t = 4.3), as it must be: resampling three seeds with replacement would give one that contains the truth in 75 %
of the cases, not in 95 %. One seed gives no V_seeds, so at least two are required. One document gives no V_documents:
the interval then covers seeds only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

ALL = "all"
"""Name of the mean over all evaluation sets."""

LEVEL = 0.95
_DRAWS = 1000
_MOST_FREEDOM = 1000.0
"""Degrees of freedom beyond which Student's t equals the normal distribution to three digits."""

Word = Literal["better", "worse", "no difference seen"]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure.
        half: Half the width of its 95 % interval.
        half_adjusted: The same at a level at which all intervals of a table hold simultaneously (Bonferroni).
        seed_share: Share of the variance that is due to seeds.
    """

    value: float
    half: float
    half_adjusted: float
    seed_share: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self.half

    @property
    def word(self) -> Word:
        """Verdict on the value as a difference of log perplexities."""
        return _word(self.value, self.half)

    @property
    def word_adjusted(self) -> Word:
        """The same verdict, with all intervals holding simultaneously."""
        return _word(self.value, self.half_adjusted)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, including the ends of the interval and the verdict."""
        return {
            **asdict(self),
            "low": self.low,
            "high": self.high,
            "verdict": self.word,
            "verdict_adjusted": self.word_adjusted,
        }


def log_perplexity(nll: np.ndarray, num_tokens: np.ndarray) -> np.ndarray:
    """Return the log perplexity of a set.

    Args:
        nll: Negative log-likelihood of each document; float64 `[…, n]`.
        num_tokens: int64 `[n]`.

    Returns:
        float64 `[…]`.
    """
    return nll.sum(axis=-1) / num_tokens.sum()


def estimates(
    nll: Mapping[str, np.ndarray], num_tokens: Mapping[str, np.ndarray], num_comparisons: int = 1, seed: int = 0
) -> dict[str, Estimate]:
    """Estimate log perplexities, or differences of them, of each evaluation set and over all.

    Args:
        nll: Negative log-likelihood of each document of each set, or its difference to the reference; float64
            `[seeds, n]`, with two seeds or more.
        num_tokens: int64 `[n]` of each set.
        num_comparisons: Number of intervals that must hold simultaneously.
        seed: Random seed of the bootstrap.

    Returns:
        One estimate per set, and `all`, which equals that of the set if there is only one.
    """
    values = {name: log_perplexity(found, num_tokens[name]) for name, found in nll.items()}
    rng = np.random.default_rng(seed)
    draws = {name: _redrawn(found.mean(axis=0), num_tokens[name], rng) for name, found in nll.items()}
    sizes = {name: len(counts) for name, counts in num_tokens.items()}
    values[ALL] = np.mean(list(values.values()), axis=0)
    draws[ALL] = np.mean(list(draws.values()), axis=0)
    sizes[ALL] = sum(sizes.values())
    return {name: _estimate(found, draws[name], sizes[name], num_comparisons) for name, found in values.items()}


def student_quantile(probability: float, freedom: float) -> float:
    """Return a quantile of Student's t above the median, to four digits.

    With t = sqrt(freedom) tan(a), the density of a is proportional to cos(a) to the power of freedom - 1.

    Args:
        probability: Above 0.5.
        freedom: Degrees of freedom, 1 or more.
    """
    freedom = min(freedom, _MOST_FREEDOM)
    angles = np.linspace(0, np.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp(2 * probability - 1, mass / mass[-1], angles)
    return float(np.sqrt(freedom) * np.tan(angle))


def agreement(words: Mapping[float, Word]) -> str:
    """Combine the verdicts at several learning rates.

    Args:
        words: Verdict at each learning rate, ascending.
    """
    found = set(words.values())
    if len(found) == 1:
        (word,) = found
        return word
    if {"better", "worse"} <= found:
        return "learning rates disagree: " + ", ".join(f"{word} at {rate:g}" for rate, word in words.items())
    seen = next(word for word in words.values() if word != "no difference seen")
    rates = " and ".join(f"{rate:g}" for rate, word in words.items() if word == seen)
    return f"{seen} at learning rate {rates} only"


def _redrawn(nll: np.ndarray, num_tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the figure for many samples of the documents with replacement; float64 `[draws]`."""
    size = len(nll)
    found = np.empty(_DRAWS)
    for number in range(_DRAWS):
        drawn = rng.integers(size, size=size)
        found[number] = nll[drawn].sum() / num_tokens[drawn].sum()
    return found


def _estimate(values: np.ndarray, draws: np.ndarray, size: int, num_comparisons: int) -> Estimate:
    seeds = len(values)
    of_seeds = float(values.var(ddof=1)) / seeds
    of_documents = float(draws.var(ddof=1)) * size / max(size - 1, 1)
    total = of_seeds + of_documents
    parts = of_seeds**2 / (seeds - 1) + of_documents**2 / max(size - 1, 1)
    freedom = total**2 / parts if parts else _MOST_FREEDOM
    tail = (1 - LEVEL) / 2
    half, adjusted = (
        student_quantile(1 - tail / count, max(freedom, 1.0)) * total**0.5 for count in (1, num_comparisons)
    )
    return Estimate(float(values.mean()), half, adjusted, of_seeds / total if total else 0.0)


def _word(value: float, half: float) -> Word:
    if value + half < 0:
        return "better"
    return "worse" if value - half > 0 else "no difference seen"
