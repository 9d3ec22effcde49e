"""Differences of two datasets by their n-grams, relative to the differences of samples of one dataset.

A divergence between samples is above zero even if both come from one distribution, and it is larger the less text there
is. So every figure here is computed between samples with the same amount of text, and compared with *noise*: the same
figure between two samples of that size from one dataset. The noise of the reference is the noise floor.

Samples are random choices of groups of documents (see `features.ngram_groups`), without replacement and of at most half
of the groups; the larger dataset contributes fewer groups, so that the amounts of text are equal. With half of the
groups, the spread over choices of a figure that is linear in the counts equals that over new documents (the delete-d
jackknife of Shao and Wu 1989, "A General Theory for Jackknife Variance Estimation"); with fewer, it is larger.
Divergences are not linear, and the noise of single samples adds to their spread: with 300 texts of GSM8K each,
intervals were 1.4 to 2.1 times as wide as needed, and 99 % to 100 % of them contained the mean over new documents. A
bootstrap with replacement would contain groups twice, which would bias it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from hf_toedit.errors import UsageError

Verdict = Literal["no difference seen", "semi-synthetic", "pure synthetic", "not enough data"]

ALPHA = 0.5
"""Added to the count of each bucket."""

EPSILON_FLOORS = 2.0
"""Default of epsilon, as a multiple of the noise floor, which depends on the amount of text."""

HIGHEST_FLOOR = 0.5
"""In bits of KL divergence; with a higher noise floor, the default of epsilon is too high to call data semi-synthetic.

The same holds for any epsilon if samples have fewer n-grams than there are buckets, because `ALPHA` then makes them
similar.
"""

MIN_GROUPS = 20
"""Minimum number of groups with text in each dataset: about 25 documents."""

MOST_APART = 0.1
"""Maximum relative difference between the amounts of text of the two samples."""

NUM_CHOICES = 200
"""Number of random choices of groups for each figure."""

INTERVAL = (0.025, 0.975)
"""Quantiles at the ends of an interval."""

NOISE_QUANTILE = 0.99
"""Figures up to this quantile of the noise can be noise."""

KL, KL_REVERSE, JS = "kl", "kl_reverse", "js"
"""KL of the data from the reference, KL of the reference from the data, Jensen-Shannon."""

NAMES = {JS: "Jensen-Shannon", KL: "KL from the reference", KL_REVERSE: "KL to the reference"}
"""Names of the figures in reports and verdicts."""

_AT_ONCE = 50
"""Number of choices computed at once, which keeps memory below 50 MB."""


@dataclass(frozen=True)
class Figure:
    """A divergence in bits, between samples of the same amount of text.

    Attributes:
        value: Mean over choices of groups.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        noise_floor: Mean between two samples of the reference.
        noise_high: Up to here the value can be noise: the mean of the reference's and the data's own noise, plus the
            larger of the two distances from a mean to its quantile 0.99.
    """

    value: float
    low: float
    high: float
    noise_floor: float
    noise_high: float

    @property
    def can_be_noise(self) -> bool:
        """Whether samples of one dataset can differ as much."""
        return self.value <= self.noise_high


@dataclass(frozen=True)
class Divergence:
    """The difference between a dataset and the reference.

    Attributes:
        verdict: By Eq. 9 of Zhu et al. 2024, arXiv 2412.14689, data is semi-synthetic if its KL divergence is at most
            epsilon, and pure synthetic otherwise; here, this must hold for KL both ways, with its whole interval.
            `no difference seen` if the Jensen-Shannon divergence can be noise, for any epsilon. `not enough data` if
            none of these can be concluded.
        reason: The verdict's reason, in a sentence.
        figures: `kl`, `kl_reverse` and `js`; empty if there is too little text for an interval.
        epsilon: In bits, for `kl` and `kl_reverse`; empty without figures.
        num_groups: Number of groups in a sample of the reference and of the data; 0 without figures.
        num_ngrams: Mean number of n-grams in a sample of each.
        alpha: The number added to the count of each bucket.
    """

    verdict: Verdict
    reason: str
    figures: dict[str, Figure]
    epsilon: dict[str, float]
    num_groups: tuple[int, int]
    num_ngrams: tuple[float, float]
    alpha: float = ALPHA

    @property
    def differs(self) -> bool:
        """Whether a difference is seen; also False if there is not enough data."""
        return bool(self.figures) and not self.figures[JS].can_be_noise

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def diverge(reference: np.ndarray, data: np.ndarray, *, epsilon: float | None = None, seed: int = 0) -> Divergence:
    """Compare a dataset with the reference.

    Args:
        reference: Counts of n-grams by group of documents, as in `NgramGroups`; int `[groups, buckets]`.
        data: The same counts of the dataset.
        epsilon: Bits of KL divergence up to which data is semi-synthetic; `EPSILON_FLOORS` times the noise floor if
            None.
        seed: Random seed of the choices of groups.

    Raises:
        UsageError: See `check_epsilon`.
    """
    check_epsilon(epsilon)
    reference, data = (counts[counts.any(axis=1)] for counts in (reference, data))
    for name, counts in (("reference", reference), ("data", data)):
        if len(counts) < MIN_GROUPS:
            what = f"the {name} fill{'s' * (name == 'reference')} {len(counts)} groups of documents"
            return _too_little(f"{what}, and an interval needs {MIN_GROUPS}: give more documents.")
    num_groups = _equal_text(reference, data)
    if num_groups is None:
        return _too_little(_unequal(reference, data))
    rng = np.random.default_rng(seed)
    between = _figures(_samples(reference, num_groups[0], rng), _samples(data, num_groups[1], rng))
    noise = [_noise(counts, size, rng) for counts, size in zip((reference, data), num_groups, strict=True)]
    figures = {name: _figure(between[name], *(each[name] for each in noise)) for name in between}
    limits = {name: epsilon or EPSILON_FLOORS * figures[name].noise_floor for name in (KL, KL_REVERSE)}
    means = [float(counts.sum() / len(counts)) for counts in (reference, data)]
    num_ngrams = (num_groups[0] * means[0], num_groups[1] * means[1])
    is_sparse = min(num_ngrams) < reference.shape[1]
    verdict, reason = _verdict(figures, limits, HIGHEST_FLOOR if epsilon is None else epsilon, is_sparse)
    return Divergence(verdict, reason, figures, limits, num_groups, num_ngrams)


def check_epsilon(epsilon: float | None) -> None:
    """Check that epsilon is a positive number.

    Raises:
        UsageError: It is not above zero, or not finite.
    """
    if epsilon is not None and not 0 < epsilon < math.inf:
        raise UsageError(f"epsilon {epsilon} is out of range: it must be above 0. Name it in bits, or leave it out.")


def divergences(p: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray]:
    """Return KL both ways and Jensen-Shannon, in bits.

    Args:
        p: Distributions of the reference, without zeros; float64 `[..., buckets]`.
        q: The same of the data.

    Returns:
        float64 `[...]` each: KL(q || p), KL(p || q), and JS, which is from 0 to 1.
    """
    middle = (p + q) / 2
    log_p, log_q = np.log2(p), np.log2(q)
    entropies = -((p * log_p).sum(axis=-1) + (q * log_q).sum(axis=-1)) / 2
    return {
        KL: (q * (log_q - log_p)).sum(axis=-1),
        KL_REVERSE: (p * (log_p - log_q)).sum(axis=-1),
        JS: -(middle * np.log2(middle)).sum(axis=-1) - entropies,
    }


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Return the distribution over buckets (last axis), with `ALPHA` added to each count; float64, same shape."""
    return (counts + ALPHA) / (counts.sum(axis=-1, keepdims=True) + ALPHA * counts.shape[-1])


_Samples = Callable[[slice], np.ndarray]
"""Returns counts `[choices, buckets]` of a slice of the choices."""


def _samples(counts: np.ndarray, size: int, rng: np.random.Generator, order: np.ndarray | None = None) -> _Samples:
    """Return the counts of `size` randomly chosen groups: the first ones in a random order."""
    order = _orders(len(counts), rng) if order is None else order
    chosen = np.zeros((NUM_CHOICES, len(counts)))
    np.put_along_axis(chosen, order[:, :size], 1, axis=1)
    numbers = counts.astype(np.float64)  # for a fast product; exact below 2^53
    return lambda part: chosen[part] @ numbers


def _orders(num_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of the groups for each choice; int64 `[choices, groups]`."""
    return np.argsort(rng.random((NUM_CHOICES, num_groups)), axis=1)


def _noise(counts: np.ndarray, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the figures between two disjoint samples of one dataset; float64 `[choices]` each."""
    order = _orders(len(counts), rng)
    return _figures(_samples(counts, size, rng, order), _samples(counts, size, rng, order[:, size:]))


def _figures(reference: _Samples, data: _Samples) -> dict[str, np.ndarray]:
    """Return the three figures of each choice; float64 `[choices]` each."""
    parts = []
    for start in range(0, NUM_CHOICES, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        parts.append(divergences(smoothed(reference(part)), smoothed(data(part))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figure(between: np.ndarray, reference_noise: np.ndarray, data_noise: np.ndarray) -> Figure:
    low, high = np.quantile(between, INTERVAL)
    noises = (reference_noise, data_noise)
    # The value contains half of the noise of each; a single pair of samples deviates more than a mean over choices.
    expected = (reference_noise.mean() + data_noise.mean()) / 2
    margin = max(np.quantile(noise, NOISE_QUANTILE) - noise.mean() for noise in noises)
    value, floor = float(between.mean()), float(reference_noise.mean())
    return Figure(value, float(low), float(high), floor, float(expected + margin))


def _equal_text(reference: np.ndarray, data: np.ndarray) -> tuple[int, int] | None:
    """Return the largest numbers of groups of each with the same amount of text; None if there are none."""
    mine, theirs = (counts.sum() / len(counts) for counts in (reference, data))
    found = []
    for size in range(1, len(reference) // 2 + 1):
        other = min(max(round(size * mine / theirs), 1), len(data) // 2)
        amounts = (size * mine, other * theirs)
        if abs(amounts[0] - amounts[1]) <= MOST_APART * max(amounts):
            found.append((size + other, size, other))
    return max(found)[1:] if found else None


def _unequal(reference: np.ndarray, data: np.ndarray) -> str:
    larger, smaller = max(reference.sum(), data.sum()), min(reference.sum(), data.sum())
    names = ("reference", "data") if reference.sum() > data.sum() else ("data", "reference")
    return (f"the {names[0]} and the {names[1]} differ {larger / smaller:,.0f} times in their amount of text, and no "
            f"samples of them are equally large: give a smaller part of the {names[0]}.")  # fmt: skip


def _too_little(reason: str) -> Divergence:
    return Divergence("not enough data", reason, {}, {}, (0, 0), (0.0, 0.0))


def _verdict(
    figures: dict[str, Figure], limits: dict[str, float], highest_floor: float, is_sparse: bool
) -> tuple[Verdict, str]:
    js = figures[JS]
    if js.can_be_noise:
        noise = f"can be noise, which reaches {js.noise_high:.3g}"
        return "no difference seen", f"the Jensen-Shannon divergence of {js.value:.3g} bits {noise}."
    held = [f"{NAMES[name]} {figures[name].value:.3g} (epsilon {limit:.3g})" for name, limit in limits.items()]
    said = f"in bits, {' and '.join(held)}"
    if any(figures[name].low > limit for name, limit in limits.items()):
        return "pure synthetic", f"a KL divergence is above epsilon: {said}."
    if any(figures[name].high > limit for name, limit in limits.items()):
        return "not enough data", f"they differ, but epsilon is inside an interval: {said}; give more text."
    floor = max(figures[name].noise_floor for name in limits)
    if is_sparse or floor > highest_floor:
        why = "samples with fewer n-grams than buckets" if is_sparse else f"a noise floor of {floor:.3g} bits"
        return "not enough data", f"they differ, but {why} cannot say by how much: give more text."
    return "semi-synthetic", f"both KL divergences are at most epsilon: {said}."
