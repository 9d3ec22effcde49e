"""Simulations compared with closed forms, and closed forms compared with sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_toedit.papers.theory import gaussian, linear


def _mean(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return errors.mean(axis=0), errors.std(axis=0, ddof=1) / len(errors) ** 0.5


def _process(num_samples: int, dimension: int, shares: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Simulate Eq. 3 directly: one run, with a true w and its own noise."""
    truth, sigma = rng.standard_normal(dimension), 0.7
    features = rng.standard_normal((num_samples, dimension))
    labels = features @ truth + sigma * rng.standard_normal(num_samples)
    errors = []
    for share in [*shares, None]:
        fit = np.linalg.lstsq(features, labels, rcond=None)[0]
        errors.append(float(((fit - truth) ** 2).sum()) / sigma**2 / linear.first_error(num_samples, dimension))
        if share is not None:
            marks = np.diag((rng.random(num_samples) < share).astype(float))
            fresh = features @ fit + sigma * rng.standard_normal(num_samples)
            labels = marks @ fresh + (np.eye(num_samples) - marks) @ labels
    return errors


def test_the_simulation_is_the_process() -> None:
    shares = np.array([0.3, 0.2, 0.1])
    plain = np.array([_process(40, 8, shares, np.random.default_rng(seed)) for seed in range(1500)])
    fast = linear.simulated_errors(40, 8, shares, 3000, np.random.default_rng(0))
    (mean, error), (other, other_error) = _mean(plain), _mean(fast)
    assert fast.shape == (3000, 4)
    assert (np.abs(mean - other) < 4 * np.hypot(error, other_error)).all()


@pytest.mark.parametrize("num_samples, dimension, first", [(100, 20, 0.125), (200, 20, 0.4), (60, 5, 0.05)])
def test_what_is_expected_of_the_process(num_samples: int, dimension: int, first: float) -> None:
    shares = linear.geometric_shares(first, 0.94, 12)
    mean, error = _mean(linear.simulated_errors(num_samples, dimension, shares, 2000, np.random.default_rng(1)))
    expected = linear.expected_errors(num_samples, dimension, shares)
    # The expectation ignores the unequal leverage of rows: a few per cent if T is not far above d.
    assert (np.abs(mean - expected) < 4 * error + 0.03 * expected).all()
    assert (expected <= 1 + 2 * (linear.theorem_1(shares) - 1) + 1e-12).all()  # as stated in docs/theory.md
    assert (mean[1:] > linear.theorem_1(shares)[1:] + error[1:]).all()
    assert (mean < linear.equation_7(num_samples, dimension, shares) + 4 * error).all()
    assert mean[0] == pytest.approx(1, abs=4 * error[0])


def test_figures_of_the_design() -> None:
    """T = 100, d = 20, the shares of Table 9; the figures were computed by independent code."""
    shares = linear.geometric_shares(0.125, 0.94, 40)
    mean, error = _mean(linear.simulated_errors(100, 20, shares, 2000, np.random.default_rng(2)))
    at = [5, 10, 20, 40]
    assert linear.theorem_1(shares)[at] == pytest.approx([1.55, 1.96, 2.48, 2.91], abs=0.005)
    assert mean[at] == pytest.approx([1.93, 2.56, 3.37, 4.10], rel=0.06)
    assert linear.collapse(40)[at].tolist() == [6, 11, 21, 41]
    replaced = _mean(linear.simulated_errors(100, 20, np.ones(10), 2000, np.random.default_rng(3)))
    assert (np.abs(replaced[0] - linear.collapse(10)) < 4 * replaced[1]).all()


def test_the_bound_of_equation_7_converges() -> None:
    bounds = linear.equation_7(100, 20, linear.geometric_shares(0.125, 0.94, 3000))
    assert bounds[-1] - bounds[-2] < 1e-9 and (np.diff(bounds) >= 0).all()
    wishart = [np.linalg.inv(x.T @ x) for x in np.random.default_rng(4).standard_normal((3000, 100, 20))]
    trace = np.mean([(each @ each).trace() for each in wishart])
    step = (bounds[1] - 1) * linear.first_error(100, 20)
    assert step == pytest.approx(math.sqrt(trace * 12.5), rel=0.01)


@pytest.mark.parametrize("means", [(0.0, 0.0), (1.2, -0.4), (-0.5, -1.5), (3.0, 0.2)])
@pytest.mark.parametrize("correlation", [-1.0, -0.8, 0.0, 0.3, 0.99, 1.0])
def test_orthants_against_sampling(means: tuple[float, float], correlation: float) -> None:
    rng = np.random.default_rng(5)
    a, other = rng.standard_normal((2, 200_000))
    b = correlation * a + math.sqrt(1 - correlation**2) * other
    both = ((a + means[0] > 0) & (b + means[1] > 0)).mean()
    found = gaussian.orthant(*means, correlation)
    assert found == pytest.approx(both, abs=4 * math.sqrt(max(found * (1 - found), 1e-6) / len(a)) + 1e-4)
    if means == (0.0, 0.0):
        assert found == pytest.approx(0.25 + math.asin(correlation) / (2 * math.pi), abs=1e-6)


def test_selection_by_angles_at_its_ends() -> None:
    generator = math.radians(50)
    itself = gaussian.selection_by_angles(1.5, generator, generator, 0.0)
    assert itself.phi == itself.psi == pytest.approx(1) and itself.point == pytest.approx(0.5)
    good = gaussian.selection_by_angles(6.0, generator, 0.0, generator)
    assert good.psi < 1e-4 and good.phi > 1 - 1e-4 and good.point > 1 - 1e-4
    assert gaussian.breakdown_point(0.5, 0.25) == pytest.approx(1 / (1 + 0.25 / 0.5))
    assert math.isnan(gaussian.breakdown_point(0, 0))
    angles = 0.7, 0.4, 0.9
    vectors = gaussian.unit_vectors(5, *angles)
    np.testing.assert_allclose((vectors**2).sum(axis=1), 1)
    pairs = ((0, 1), (0, 2), (1, 2))
    assert [math.acos(vectors[i] @ vectors[j]) for i, j in pairs] == pytest.approx(angles)
    with pytest.raises(ValueError, match="no directions"):
        gaussian.unit_vectors(3, 0.1, 0.1, 1.0)


def test_accuracy_against_sampling() -> None:
    rng = np.random.default_rng(6)
    classifier, mean = rng.standard_normal((2, 4))
    labels = rng.choice((-1, 1), 100_000)
    features = labels[:, None] * mean + rng.standard_normal((len(labels), 4))
    right = (np.sign(features @ classifier) == labels).mean()
    assert gaussian.accuracy(classifier, mean) == pytest.approx(right, abs=0.006)
    assert gaussian.accuracy(np.zeros(4), mean) == 0.5
    assert gaussian.fitted(np.zeros((0, 4)), np.zeros(0)).tolist() == [0] * 4
