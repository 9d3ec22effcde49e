"""Selection of synthetic labels in a Gaussian mixture (Feng et al. 2024, arXiv 2406.07515, Section 3).

Labels y are +1 or -1, features are y mu plus standard normal noise. A generator gives labels y', a share p of which is
wrong. A verifier keeps right ones with probability phi and wrong ones with probability psi. A linear classifier that is
trained on the kept labels points to

    E[q y' x] = (phi (1 - p) - psi p) mu

if errors do not depend on x: in the right direction for p < p* = 1 / (1 + psi / phi), in the wrong one for p > p*.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_NODES = 400


def breakdown_point(phi: float, psi: float) -> float:
    """Return p* = 1 / (1 + psi / phi), Theorem 3.2; NaN if nothing is kept."""
    return phi / (phi + psi) if phi + psi else math.nan


def normal_cdf(value: np.ndarray | float) -> np.ndarray:
    """Return the distribution function of a standard normal variable."""
    return 0.5 * (1 + _erf(np.asarray(value, float) / math.sqrt(2)))


def orthant(mean_1: float, mean_2: float, correlation: float) -> float:
    """Return P(a > 0, b > 0) of two normal variables with variance 1, to about eight digits.

    Args:
        mean_1: Mean of a.
        mean_2: Mean of b.
        correlation: Correlation, from -1 to 1.
    """
    if abs(correlation) >= 1:
        other = mean_2 if correlation > 0 else -mean_2
        low, high = (-min(mean_1, other), math.inf) if correlation > 0 else (-mean_1, mean_2)
        top = 1.0 if high == math.inf else float(normal_cdf(high))
        return max(top - float(normal_cdf(low)), 0.0)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    low, high = max(-mean_1, -9.0), 9.0
    if low >= high:
        return 0.0
    at = (high - low) / 2 * nodes + (high + low) / 2
    density = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    inside = normal_cdf((mean_2 + correlation * at) / math.sqrt(1 - correlation**2))
    return float((high - low) / 2 * (weights * density * inside).sum())


class Selection(NamedTuple):
    """Quality of the selection of a generator's labels.

    Attributes:
        error: p, the share of wrong labels.
        phi: Share of right labels that are kept.
        psi: Share of wrong labels that are kept.
    """

    error: float
    phi: float
    psi: float

    @property
    def point(self) -> float:
        """The breakdown point."""
        return breakdown_point(self.phi, self.psi)


def selection_by_angles(norm: float, generator: float, verifier: float, between: float) -> Selection:
    """Compute the selection of one linear classifier's labels by the agreement of another, from orthant probabilities.

    Args:
        norm: Length of mu.
        generator: Angle between the generator's classifier and mu, in radians.
        verifier: Angle between the verifier's classifier and mu, in radians.
        between: Angle between the two classifiers, in radians.
    """
    means = norm * math.cos(generator), norm * math.cos(verifier)
    both = orthant(*means, math.cos(between))
    right = float(normal_cdf(means[0]))
    neither = 1 - right - float(normal_cdf(means[1])) + both
    return Selection(1 - right, both / right, neither / (1 - right) if right < 1 else 0.0)


def unit_vectors(dimension: int, generator: float, verifier: float, between: float) -> np.ndarray:
    """Return directions of mu, the generator and the verifier with these angles; float64 `[3, dimension]`.

    Raises:
        ValueError: No three directions have such angles.
    """
    vectors = np.zeros((3, dimension))
    vectors[0, 0] = 1
    vectors[1, :2] = math.cos(generator), math.sin(generator)
    vectors[2, 0] = math.cos(verifier)
    sine = math.sin(generator)
    vectors[2, 1] = (math.cos(between) - math.cos(verifier) * math.cos(generator)) / sine if sine else 0.0
    rest = 1 - (vectors[2, :2] ** 2).sum()
    if rest < -1e-9:
        raise ValueError(f"no directions have the angles {generator}, {verifier} and {between}")
    vectors[2, 2] = math.sqrt(max(rest, 0.0))
    return vectors


def accuracy(classifier: np.ndarray, mean: np.ndarray) -> float:
    """Return the share of new examples that a linear classifier labels correctly.

    Args:
        classifier: float64 `[d]`.
        mean: float64 `[d]`, mu.
    """
    length = float(np.linalg.norm(classifier))
    return float(normal_cdf(classifier @ mean / length)) if length else 0.5


def fitted(features: np.ndarray, labels: np.ndarray, ridge: float = 1e-3) -> np.ndarray:
    """Fit least squares with a small ridge; float64 `[d]`, zeros without examples.

    Args:
        features: float64 `[n, d]`.
        labels: `[n]`, +1 or -1.
        ridge: Ridge penalty, relative to the mean squared error.
    """
    if not len(labels):
        return np.zeros(features.shape[1])
    gram = features.T @ features + ridge * len(labels) * np.eye(features.shape[1])
    return np.linalg.solve(gram, features.T @ labels)


def _erf(value: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[float])(value)
