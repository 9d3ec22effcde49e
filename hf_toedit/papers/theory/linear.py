"""Linear regression on repeatedly edited data (Zhu et al. 2024, arXiv 2412.14689, Section 4).

Features X are T rows of d standard normal numbers, labels are X w* plus noise of variance sigma^2. The model of a
generation is the least squares fit to the labels of that generation. The labels of the next one are (Eq. 3)

    Y' = M (X w + E) + (1 - M) Y

where w is the fit, E is fresh noise, and M marks the edited rows. All errors are in units of
sigma^2 d / (T - d - 1), the test error of the first fit.
"""

from __future__ import annotations

import numpy as np


def simulated_errors(
    num_samples: int, dimension: int, shares: np.ndarray, repetitions: int, rng: np.random.Generator
) -> np.ndarray:
    """Simulate the process of Eq. 3 and return its test errors; float64 `[repetitions, generations + 1]`.

    Args:
        num_samples: T.
        dimension: d.
        shares: Shares of the rows that are edited; each row is sampled independently; float64 `[generations]`.
        repetitions: Number of independent runs, each with its own features.
        rng: Random generator.
    """
    features = rng.standard_normal((repetitions, num_samples, dimension))
    gram = np.einsum("rti,rtj->rij", features, features)
    inverse = np.linalg.solve(gram, features.transpose(0, 2, 1))  # [repetitions, d, T]
    labels = rng.standard_normal((repetitions, num_samples))  # w* is 0, and sigma 1: both only shift and scale
    errors = np.empty((repetitions, len(shares) + 1))
    for generation in range(len(shares) + 1):
        fit = np.einsum("rit,rt->ri", inverse, labels)
        errors[:, generation] = (fit**2).sum(axis=1)
        if generation < len(shares):
            edited = rng.random(labels.shape) < shares[generation]
            fresh = np.einsum("rti,ri->rt", features, fit) + rng.standard_normal(labels.shape)
            labels = np.where(edited, fresh, labels)
    return errors / first_error(num_samples, dimension)


def first_error(num_samples: int, dimension: int) -> float:
    """Return the test error of the first fit with sigma 1: d / (T - d - 1)."""
    return dimension / (num_samples - dimension - 1)


def geometric_shares(first: float, decay: float, generations: int) -> np.ndarray:
    """Return shares of edited rows that decay by a constant ratio, as in Table 9; float64 `[generations]`."""
    return first * decay ** np.arange(generations)


def theorem_1(shares: np.ndarray) -> np.ndarray:
    """Return Theorem 1 with Eq. 5, for randomly edited rows: 1 plus the sum of shares; float64 `[generations + 1]`."""
    return 1 + np.concatenate([[0.0], np.cumsum(shares)])


def collapse(generations: int) -> np.ndarray:
    """Return Eq. 8: all labels are replaced in each generation; float64 `[generations + 1]`."""
    return np.arange(1.0, generations + 2)


def equation_7(num_samples: int, dimension: int, shares: np.ndarray) -> np.ndarray:
    """Return the bound of Eq. 7; float64 `[generations + 1]`.

    Each edit adds at most sqrt(E tr (X'X)^-2) sqrt(E ||M||_F^2). For geometric shares the sum converges, so the bound
    holds for every number of generations.

    Args:
        num_samples: T, more than d + 3.
        dimension: d.
        shares: Shares of the rows that are edited.
    """
    t, d = num_samples, dimension
    trace = d * (t - 1) / ((t - d) * (t - d - 1) * (t - d - 3))  # of a squared inverse Wishart matrix
    steps = np.sqrt(trace * t * np.asarray(shares)) / first_error(t, d)
    return 1 + np.concatenate([[0.0], np.cumsum(steps)])


def expected_errors(num_samples: int, dimension: int, shares: np.ndarray) -> np.ndarray:
    """Return the expected errors of the process of Eq. 3, derived in docs/theory.md; float64 `[generations + 1]`.

    Labels have a part that the features fit and a part that they do not, the residuals. `a` is the variance of the
    first part, `b` of the second, per dimension. Editing a row removes its residual. That does not average out: the
    marks of the rows do not commute with the projection on the features, so residuals enter the next fit.

    Args:
        num_samples: T.
        dimension: d.
        shares: Shares of the rows that are edited.
    """
    outside = (num_samples - dimension) / num_samples
    a, b = 1.0, 1.0
    errors = [a]
    for m in np.asarray(shares, float).tolist():
        spread = m * (1 - m) * b * outside
        a, b = a + m + spread, (1 - m) ** 2 * b + spread + m
        errors.append(a)
    return np.array(errors)
