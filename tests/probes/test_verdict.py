"""Intervals of differences have their stated coverage, and verdicts follow from them."""

from __future__ import annotations

import numpy as np
import pytest

from hf_toedit.probes.verdict import agreement, estimates, student_quantile


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 10, 2.2281), (0.995, 4, 4.6041), (0.975, 1e9, 1.9623)],
)
def test_quantiles_of_student(probability: float, freedom: float, expected: float) -> None:
    """Quantiles equal those in tables; beyond 1,000 degrees of freedom, those of 1,000 are used."""
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=1e-3)


def simulated(rng: np.random.Generator, seeds: int, of_seeds: float, of_documents: float, of_both: float) -> bool:
    """Whether the interval of a simulated probe contains the true difference, 0.05."""
    size = 60
    num_tokens = rng.integers(50, 400, size)
    effects = rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_documents, size)
    nll = (0.05 + effects + rng.normal(0, of_both, (seeds, size))) * num_tokens
    found = estimates({"a": nll}, {"a": num_tokens})["a"]
    return abs(found.value - 0.05) <= found.half


@pytest.mark.parametrize(
    ("seeds", "noise"),
    [(3, (0.02, 0.02, 0.01)), (3, (0.02, 0.2, 0.1)), (3, (0, 0.2, 0.1)), (2, (0.03, 0.2, 0.1)), (5, (0.01, 0.1, 0.1))],
)
def test_intervals_hold_the_truth(seeds: int, noise: tuple[float, float, float]) -> None:
    """For every source of noise: 95 % of 200, within three standard errors, or more."""
    rng = np.random.default_rng(1)
    share = np.mean([simulated(rng, seeds, *noise) for _ in range(200)])
    assert share >= 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5


def test_figures_against_their_definition() -> None:
    rng = np.random.default_rng(0)
    nll = {"a": rng.random((3, 7)) * 100, "b": rng.random((3, 5)) * 50}
    num_tokens = {"a": rng.integers(1, 50, 7), "b": rng.integers(1, 50, 5)}
    found = estimates(nll, num_tokens)
    for name, values in nll.items():
        assert found[name].value == pytest.approx(np.mean([row.sum() / num_tokens[name].sum() for row in values]))
    assert found["all"].value == pytest.approx((found["a"].value + found["b"].value) / 2)
    assert set(found) == {"a", "b", "all"}


def test_the_documents_of_each_set_are_sampled_independently() -> None:
    """The effects in two sets of the same size do not cancel out, or add up, by the order of the documents."""
    nll = np.tile(np.random.default_rng(0).normal(0, 1, 20), (2, 1))
    num_tokens = {name: np.ones(20, np.int64) for name in "ab"}
    for sign in (1, -1):
        found = estimates({"a": nll, "b": sign * nll}, num_tokens)
        assert found["all"].half == pytest.approx(found["a"].half / 2**0.5, rel=0.1)


def test_words() -> None:
    num_tokens = {"a": np.full(50, 10)}
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 50))
    for shift, expected in ((-1.0, "better"), (1.0, "worse"), (0.0, "no difference seen")):
        found = estimates({"a": noise + shift}, num_tokens, num_comparisons=4)["a"]
        assert found.word == found.word_adjusted == expected
        assert found.half_adjusted > found.half > 0


def test_agreement_of_learning_rates() -> None:
    assert agreement({1e-4: "worse", 1e-3: "worse"}) == "worse"
    assert agreement({1e-4: "worse", 1e-3: "no difference seen"}) == "worse at learning rate 0.0001 only"
    both = agreement({1e-4: "worse", 1e-3: "better"})
    assert both == "learning rates disagree: worse at 0.0001, better at 0.001"
    assert agreement({1e-4: "no difference seen", 1e-3: "no difference seen"}) == "no difference seen"
