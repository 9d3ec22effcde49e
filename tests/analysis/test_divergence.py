from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from hf_toedit.analysis import divergence
from hf_toedit.analysis.divergence import ALPHA, Divergence, diverge, divergences, smoothed
from hf_toedit.errors import UsageError
from hf_toedit.features.ngram_groups import NUM_GROUPS, group_of
from hf_toedit.features.ngrams import HashedNgrams
from tests.shared import shared, texts

TRIALS = max(int(os.environ.get("HF_TOEDIT_EXAMPLES", "40")) // 2, 2)
"""Number of trials per dataset; 100 with HF_TOEDIT_EXAMPLES=200."""

COUNTER = HashedNgrams()


def by_group(batch: list[str], seed: int = 0) -> np.ndarray:
    """Return the counts of n-grams by group of documents."""
    counted = COUNTER.count(batch)
    groups = np.array([group_of(text.encode(), seed) for text in batch])
    return counted.unigrams.by_group(groups, NUM_GROUPS) + counted.bigrams.by_group(groups, NUM_GROUPS)


def planted(rng: np.random.Generator, p: np.ndarray, size: int, num_groups: int = NUM_GROUPS) -> np.ndarray:
    """Sample groups of `size` n-grams each from a distribution."""
    return rng.multinomial(size, p, size=num_groups)


def test_divergences_of_known_distributions() -> None:
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])
    found = divergences(p, q)
    assert found["kl"] == pytest.approx(0.25) and found["kl_reverse"] == pytest.approx(0.25)
    # Both have an entropy of 1.5 bits, and their mean, (3/8, 3/8, 1/4), has 2 · 3/8 · log2(8/3) + 0.5.
    assert found["js"] == pytest.approx(0.75 * math.log2(8 / 3) + 0.5 - 1.5)
    assert all(value == 0 for value in divergences(p, p).values())

    # For geometric distributions: KL = log2(a/b) + (1 - a)/a · log2((1 - a)/(1 - b)).
    a, b, steps = 0.3, 0.2, np.arange(400)
    first, second = (x * (1 - x) ** steps + 1e-300 for x in (a, b))
    expected = math.log2(a / b) + (1 - a) / a * math.log2((1 - a) / (1 - b))
    assert divergences(first, second)["kl_reverse"] == pytest.approx(expected, rel=1e-9)

    near = divergences(np.array([1 - 1e-15, 1e-15]), np.array([1e-15, 1 - 1e-15]))
    assert near["js"] == pytest.approx(1)


def test_smoothing() -> None:
    assert smoothed(np.array([[3, 0, 1]]))[0].tolist() == pytest.approx(
        [(3 + ALPHA) / (4 + 3 * ALPHA), ALPHA / (4 + 3 * ALPHA), (1 + ALPHA) / (4 + 3 * ALPHA)]
    )


def test_the_value_is_that_of_the_distributions() -> None:
    """With much text, value and interval approach KL and JS of the sampled distributions, and the noise is small."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(50)), rng.dirichlet(np.ones(50))
    result = diverge(planted(rng, p, 100_000), planted(rng, q, 100_000))
    for name, expected in divergences(p, q).items():
        figure = result.figures[name]
        assert figure.value == pytest.approx(expected, rel=0.01)
        assert figure.low <= figure.value <= figure.high < figure.low * 1.05
        assert figure.noise_floor < figure.noise_high < 0.001
    assert result.num_groups == (32, 32) and result.num_ngrams == (3_200_000, 3_200_000)
    assert result.verdict == "pure synthetic" and result.differs
    assert "KL from the reference " in result.reason and "KL to the reference " in result.reason
    assert json.loads(json.dumps(result.to_json()))["figures"]["js"]["value"] == result.figures["js"].value


def test_the_noise_floor_is_that_of_halves() -> None:
    rng = np.random.default_rng(0)
    counts = planted(rng, rng.dirichlet(np.ones(200)), 300)
    floors = []
    for _ in range(200):
        order = rng.permutation(NUM_GROUPS)
        halves = [smoothed(counts[half].sum(axis=0)) for half in (order[:32], order[32:])]
        floors.append(divergences(*halves)["js"])
    figure = diverge(counts, counts).figures["js"]
    assert figure.noise_floor == pytest.approx(np.mean(floors), rel=0.03)
    # Fresh samples of 32 groups differ as much: JS of two samples is nearly (buckets - 1) / (4 ln 2 · n-grams).
    assert figure.noise_floor == pytest.approx(199 / (4 * math.log(2) * 32 * 300), rel=0.1)


def test_the_interval_covers_new_samples() -> None:
    """The interval has the spread of the value over new documents."""
    rng = np.random.default_rng(1)
    topics = rng.dirichlet(np.full(60, 0.3), size=10)

    def dataset(weights: np.ndarray) -> np.ndarray:
        """Sample documents of one topic each, so that n-grams are correlated within documents but not between them."""
        return np.stack([rng.multinomial(80, topics[topic]) for topic in rng.choice(10, NUM_GROUPS, p=weights)])

    mine, theirs = rng.dirichlet(np.ones(10)), rng.dirichlet(np.ones(10))
    results = [diverge(dataset(mine), dataset(theirs), seed=seed).figures["js"] for seed in range(60)]
    truth = np.mean([result.value for result in results])
    assert np.mean([result.low <= truth <= result.high for result in results]) >= 0.85


@pytest.mark.parametrize("name", ["biomed_pubmedqa_l", "synthetic_tinystories_500", "math_gsm8k_train"])
def test_samples_of_one_dataset_do_not_differ(name: str) -> None:
    """Uses 1,000 buckets, for speed."""
    batch = texts(name)
    ngrams = HashedNgrams(1000).count(batch).bigrams
    rng = np.random.default_rng(TRIALS)
    differ = 0
    for trial in range(TRIALS):
        groups = np.array([group_of(text.encode(), trial) for text in batch])
        is_first = rng.permutation(len(batch)) < len(batch) // 2
        halves = [np.where(half, groups, NUM_GROUPS) for half in (is_first, ~is_first)]
        result = diverge(*(ngrams.by_group(half, NUM_GROUPS + 1)[:-1] for half in halves), seed=trial)
        assert result.figures and result.differs == (result.verdict != "no difference seen")
        differ += result.differs
    assert differ <= 0.05 * TRIALS


def test_samples_of_different_size_do_not_differ() -> None:
    batch = texts("biomed_pubmedqa_l")
    result = diverge(by_group(batch[:850]), by_group(batch[850:]))
    assert result.verdict == "no difference seen"
    ours, theirs = result.num_groups
    assert theirs > 4 * ours > 0 and result.num_ngrams[0] == pytest.approx(result.num_ngrams[1], rel=0.1)


def columns(name: str, column: str) -> list[str]:
    with shared(f"data/{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)[column] for line in lines]


@pytest.mark.parametrize(
    ("reference", "data"),
    [
        ("wikitext2_tokens_valid", "synthetic_tinystories_500"),
        ("biomed_pubmedqa_l", "math_gsm8k_train"),
        ("math_gsm8k_train:question", "synthetic_gsm8k_model_solutions"),
    ],
)
def test_different_datasets_differ(reference: str, data: str) -> None:
    pair = [by_group(columns(*(name if ":" in name else f"{name}:text").split(":"))) for name in (reference, data)]
    for mine, theirs in (pair, pair[::-1]):
        result = diverge(mine, theirs)
        assert result.differs and result.verdict == "pure synthetic", result
        assert result.figures["kl"].low > result.epsilon["kl"] == 2 * result.figures["kl"].noise_floor


def test_a_small_planted_difference_is_seen() -> None:
    """When a fifth of the papers are replaced with stories, only a larger epsilon gives the verdict semi-synthetic."""
    papers, stories = texts("biomed_pubmedqa_l"), texts("synthetic_tinystories_500")
    reference, data = by_group(papers[:500]), by_group(papers[500:900] + stories[:100])
    result = diverge(reference, data)
    assert result.differs
    assert diverge(reference, data, epsilon=1.0).verdict == "semi-synthetic"
    assert diverge(reference, data, epsilon=0.01).verdict == "pure synthetic"
    at_value = diverge(reference, data, epsilon=result.figures["kl"].high - 1e-6)
    assert at_value.verdict == "not enough data" and "epsilon is inside an interval" in at_value.reason


def test_too_high_a_floor_is_no_verdict() -> None:
    """The documents of one dataset have little in common."""
    rng = np.random.default_rng(3)
    shape = np.where(np.arange(5000) < 2500, 0.0035, 0.0005)
    mine, theirs = (
        np.stack([rng.multinomial(1000, rng.dirichlet(each)) for _ in range(NUM_GROUPS)])
        for each in (shape, shape[::-1])
    )
    result = diverge(mine, theirs)
    assert result.figures["kl"].noise_floor > 0.5
    assert result.verdict == "not enough data" and result.differs
    assert "but a noise floor of" in result.reason and "cannot say by how much" in result.reason


@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_unlike_text_is_not_semi_synthetic_for_being_little(epsilon: float | None) -> None:
    rng = np.random.default_rng(3)
    p, q = (rng.dirichlet(np.full(4000, 0.3)) for _ in range(2))
    little, much = (diverge(planted(rng, p, size), planted(rng, q, size), epsilon=epsilon) for size in (20, 200))
    assert little.verdict == "not enough data" and little.differs
    assert "samples with fewer n-grams than buckets cannot say by how much" in little.reason
    assert much.verdict == "pure synthetic"


def nothing_but(result: Divergence, said: str) -> None:
    assert result.verdict == "not enough data" and said in result.reason
    assert not result.figures and not result.epsilon and not result.differs


def test_too_little_text_is_no_number() -> None:
    batch = texts("biomed_pubmedqa_l")
    enough, few = by_group(batch[:200]), by_group(batch[:10])
    nothing_but(diverge(few, enough), "the reference fills 10 groups of documents, and an interval needs 20")
    nothing_but(diverge(enough, few), "the data fill 10 groups of documents, and an interval needs 20")
    nothing_but(diverge(enough, np.zeros_like(enough)), "the data fill 0 groups")
    nothing_but(
        diverge(enough * 100, enough),
        "the reference and the data differ 100 times in their amount of text, and no samples of them are equally "
        "large: give a smaller part of the reference.",
    )
    nothing_but(diverge(enough, enough * 100), "give a smaller part of the data.")


@pytest.mark.parametrize("epsilon", [0, -1, math.nan])
def test_an_epsilon_that_cannot_be_meant(epsilon: float) -> None:
    with pytest.raises(UsageError, match="epsilon .* is out of range: it must be above 0"):
        diverge(np.ones((64, 5), int), np.ones((64, 5), int), epsilon=epsilon)


def test_the_same_seed_gives_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    pair = [planted(rng, rng.dirichlet(np.ones(30)), 50) for _ in range(2)]
    first = diverge(*pair, seed=5)
    assert diverge(*pair, seed=5) == first != diverge(*pair, seed=6)
    monkeypatch.setattr(divergence, "_AT_ONCE", 200)
    assert diverge(*pair, seed=5).figures["js"].value == pytest.approx(first.figures["js"].value, rel=1e-12)
