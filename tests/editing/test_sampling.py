"""Draws: their distribution by chi-square tests, and the values on which they depend."""

from __future__ import annotations

import numpy as np
import pytest

from hf_toedit.config import EditConfig
from hf_toedit.editing.samplers import sampler_of
from hf_toedit.editing.sampling import KeyedUniforms, draw
from tests.goodness_of_fit import chi_square, kolmogorov

DRAWS = 20_000
POSITIONS = 500
PROBABILITIES = np.array([0.55, 0.2, 0.1, 0.06, 0.04, 0.03, 0.015, 0.005])
LOGPROBS = np.log(PROBABILITIES).astype(np.float32)
IDS = np.array([40, 7, 3, 99, 12, 5, 60, 8])


def drawn(config: EditConfig, admissible: np.ndarray | None = None, logprobs: np.ndarray = LOGPROBS) -> np.ndarray:
    """Return many draws from one distribution: keyed streams for many texts, with many positions each."""
    rows = np.ones((POSITIONS, 1), dtype=int)
    allowed = np.ones(len(IDS), dtype=bool) if admissible is None else admissible
    positions = np.arange(0, 3 * POSITIONS, 3)
    return np.concatenate(
        [
            draw(
                sampler_of(config),
                KeyedUniforms(config.seed, 1, f"text {number}"),
                positions,
                rows * IDS,
                rows.astype(np.float32) * logprobs,
                rows.astype(bool) & allowed,
            )
            for number in range(DRAWS // POSITIONS)
        ]
    )


def assert_distributed(draws: np.ndarray, weights: np.ndarray) -> None:
    assert len(draws) == DRAWS
    counts = np.array([(draws == token).sum() for token in IDS])
    assert counts.sum() == DRAWS
    assert (counts[weights == 0] == 0).all()
    if (weights > 0).sum() > 1:
        expected = weights[weights > 0] / weights.sum() * DRAWS
        assert chi_square(counts[weights > 0], expected) > 1e-4


@pytest.mark.parametrize("sampler", ["top-k", "top-p", "rejection"])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("excluded", [[], [0], [1, 4], [0, 1, 2, 3, 4, 5, 6]])
def test_draws_follow_the_tempered_distribution(sampler, temperature, excluded):
    # The sampler handles exclude_original and inadmissible surfaces alike: probability zero, the rest renormalised.
    weights = PROBABILITIES ** (1 / temperature)
    weights[excluded] = 0
    admissible = weights > 0
    config = EditConfig(sampler=sampler, temperature=temperature, seed=3)
    assert_distributed(drawn(config, admissible), weights)


@pytest.mark.parametrize("sampler", ["top-k", "top-p", "rejection"])
def test_padding_is_never_drawn(sampler):
    logprobs = np.where(np.arange(8) < 3, LOGPROBS, -np.inf).astype(np.float32)
    weights = np.where(np.arange(8) < 3, PROBABILITIES, 0)
    assert_distributed(drawn(EditConfig(sampler=sampler, temperature=1.0), logprobs=logprobs), weights)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-53])
@pytest.mark.parametrize("sampler", ["top-k", "top-p", "rejection"])
def test_ends_of_the_uniforms_draw_allowed_candidates(sampler, uniform):
    logprobs = np.log(np.array([[0.4, 0.3, 0.2, 0.1]]))
    logprobs[:, [0, 3]] = -np.inf
    column = sampler_of(EditConfig(sampler=sampler)).draw(logprobs, lambda number: np.array([uniform]))
    assert column.tolist() in ([1], [2])


@pytest.mark.parametrize("sampler", ["top-k", "rejection"])
def test_the_order_of_candidates_does_not_matter(sampler):
    config = EditConfig(sampler=sampler)
    uniforms, positions = KeyedUniforms(0, 1, "text"), np.arange(300)
    logprobs = np.round(np.random.default_rng(0).normal(size=(300, 8)), 0).astype(np.float32)  # many ties
    ids = np.random.default_rng(1).permuted(np.tile(IDS, (300, 1)), axis=1)
    admissible = np.random.default_rng(2).random((300, 8)) < 0.8
    first = draw(sampler_of(config), uniforms, positions, ids, logprobs, admissible)
    order = np.random.default_rng(3).permuted(np.tile(np.arange(8), (300, 1)), axis=1)
    shuffled = [np.take_along_axis(array, order, axis=1) for array in (ids, logprobs, admissible)]
    assert np.array_equal(draw(sampler_of(config), uniforms, positions, *shuffled), first)


def test_ties_are_read_by_token_id():
    ids = np.array([[9, 2, 5, 4]])
    logprobs = np.log(np.array([[0.25, 0.25, 0.25, 0.25]], dtype=np.float32))
    config, admissible = EditConfig(temperature=1.0), np.ones((1, 4), dtype=bool)
    for text in map(str, range(50)):
        uniforms = KeyedUniforms(0, 1, text)
        expected = sorted(ids[0])[int(uniforms.stream(0, 1)[0] * 4)]
        assert draw(sampler_of(config), uniforms, np.array([0]), ids, logprobs, admissible).tolist() == [expected]


@pytest.mark.parametrize("sampler", ["top-k", "top-p", "rejection"])
def test_nothing_admissible_draws_nothing(sampler):
    config, uniforms = EditConfig(sampler=sampler), KeyedUniforms(0, 1, "text")
    ids, logprobs = np.tile(IDS, (3, 1)), np.tile(LOGPROBS, (3, 1))
    admissible = np.zeros((3, 8), dtype=bool)
    admissible[1, 6] = True
    assert draw(sampler_of(config), uniforms, np.array([0, 4, 9]), ids, logprobs, admissible).tolist() == [-1, 60, -1]
    padding = np.full((3, 8), -np.inf, dtype=np.float32)
    everything = np.ones((3, 8), dtype=bool)
    assert draw(sampler_of(config), uniforms, np.array([0, 4, 9]), ids, padding, everything).tolist() == [-1, -1, -1]
    nothing = np.empty((0, 8))
    assert len(draw(sampler_of(config), uniforms, np.empty(0, int), nothing, nothing, nothing.astype(bool))) == 0


@pytest.mark.parametrize("sampler", ["top-k", "rejection"])
@pytest.mark.parametrize("temperature", [1e-6, 1e6])
def test_extreme_temperatures(sampler, temperature):
    config = EditConfig(sampler=sampler, temperature=temperature)
    expected = np.eye(8)[0] if temperature < 1 else np.ones(8)
    assert_distributed(drawn(config), expected)


def test_uniforms_are_uniform():
    assert kolmogorov(KeyedUniforms(0, 1, "text").stream(0, 50_000)) > 1e-4
    across = [KeyedUniforms(0, 1, f"text {number}").stream(0, 1)[0] for number in range(5000)]
    assert kolmogorov(across) > 1e-4


def test_keys():
    base = KeyedUniforms(0, 1, "text").stream(0, 100)
    assert np.array_equal(KeyedUniforms(0, 1, "text").stream(0, 100), base)
    assert np.array_equal(KeyedUniforms(0, 1, "text").stream(0, 37), base[:37])  # the key is a position, not a length
    others = [
        KeyedUniforms(1, 1, "text").stream(0, 100),
        KeyedUniforms(-1, 1, "text").stream(0, 100),
        KeyedUniforms(0, 2, "text").stream(0, 100),
        KeyedUniforms(0, 1, "Text").stream(0, 100),
        KeyedUniforms(0, 11, "text").stream(0, 100),
        KeyedUniforms(0, 1, "1:text").stream(0, 100),
        KeyedUniforms(0, 1, "text").stream(1, 100),
    ]
    everything = np.concatenate([base, *others])
    assert len(np.unique(everything)) == len(everything)


def test_a_draw_depends_on_its_own_position_only():
    for sampler in ("top-k", "rejection"):
        config, uniforms = EditConfig(sampler=sampler), KeyedUniforms(5, 2, "text")
        everything = np.ones((200, 8), dtype=bool)
        ids, logprobs = np.tile(IDS, (200, 1)), np.tile(LOGPROBS, (200, 1))
        whole = draw(sampler_of(config), uniforms, np.arange(200), ids, logprobs, everything)
        some = np.array([3, 50, 51, 120])
        assert np.array_equal(
            draw(sampler_of(config), uniforms, some, ids[:4], logprobs[:4], everything[:4]), whole[some]
        )


def test_raw_numbers_stay_what_they_are():
    # Philox keyed by BLAKE2b: if these numbers changed, earlier runs would not be reproducible.
    stream = KeyedUniforms(0, 1, "Once upon a time").stream(0, 3)
    assert stream.tolist() == [0.6618000920640253, 0.027111953518939247, 0.5397310101904179]
