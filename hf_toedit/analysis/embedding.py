"""Datasets as clouds of vectors, one per document: a picture, and the overlap of the clouds.

The overlap is an area like that of MAUVE (Pillutla et al. 2021, "MAUVE: Measuring the Gap Between Neural Text and Human
Text using Divergence Frontiers", arXiv 2102.01454): the vectors of all datasets, reduced to their 50 principal
components, are quantised by k-means, and `frontier_area` is computed from the shares of the clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from hf_toedit.errors import UsageError

MOST_DOCUMENTS, FEWEST_DOCUMENTS = 500, 20
"""Maximum and minimum number of documents of each dataset."""

SCALE = 5.0
"""The constant c of MAUVE."""

DOCUMENTS_PER_CLUSTER = 10
"""Mean number of documents of each dataset per cluster, as in MAUVE."""

_COMPONENTS = 50
_MIXTURES = np.linspace(0, 1, 102)[1:-1]
_NUM_CHOICES = 200
_INTERVAL = (0.025, 0.975)
_NOISE_QUANTILE = 0.01


@dataclass(frozen=True, eq=False)
class EmbeddingView:
    """Datasets as clouds of vectors.

    Attributes:
        embedder: Name of the embedding model.
        revision: Commit or fingerprint of the embedding model.
        points: Positions of each dataset's documents by t-SNE; float64 `[documents, 2]`.
        shares: Share of each dataset's documents in each cluster, the fullest of the reference first; float64
            `[clusters]`.
        areas: `value`, `low`, `high`, `noise_floor` and `noise_low` of each dataset but the reference.
    """

    embedder: str
    revision: str
    points: Mapping[str, np.ndarray]
    shares: Mapping[str, np.ndarray]
    areas: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without the points."""
        return {
            "embedder": self.embedder,
            "revision": self.revision,
            "num_documents": len(next(iter(self.points.values()))),
            "cluster_shares": {name: shares.tolist() for name, shares in self.shares.items()},
            "areas": {name: dict(area) for name, area in self.areas.items()},
        }


def check_embeddable(name: str, num_documents: int) -> None:
    """Check that a dataset has enough documents and that scikit-learn is installed.

    Raises:
        UsageError: There are too few documents, or scikit-learn is missing.
    """
    if find_spec("sklearn") is None:
        raise UsageError("--embedder needs scikit-learn. Install it: pip install 'hf-toedit[analysis]'")
    if num_documents < FEWEST_DOCUMENTS:
        raise UsageError(
            f"variant {name!r} has {num_documents} texts, and an embedding view needs {FEWEST_DOCUMENTS}. Leave "
            f"--embedder out, or give more texts."
        )


def embedding_view(vectors: Mapping[str, np.ndarray], embedder: str, revision: str, seed: int = 0) -> EmbeddingView:
    """Draw and compare clouds of vectors; the first is the reference.

    All clouds are reduced to the size of the smallest one. Areas are between random halves of two clouds, and the noise
    floor is the same area between two disjoint halves of the reference.

    Args:
        vectors: float32 `[n, hidden]` of each dataset, in random order; n is `FEWEST_DOCUMENTS` or more.
        embedder: Name of the embedding model.
        revision: Commit or fingerprint of the embedding model.
        seed: Random seed.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = min(len(each) for each in vectors.values())
    names = list(vectors)
    cloud = np.concatenate([each[:count] for each in vectors.values()]).astype(np.float64)
    parts = PCA(min(_COMPONENTS, *cloud.shape), random_state=seed).fit_transform(cloud)
    num_clusters = max(count // DOCUMENTS_PER_CLUSTER, 2)
    labels = KMeans(num_clusters, n_init=4, random_state=seed).fit_predict(parts).reshape(len(names), count)
    points = TSNE(init="pca", perplexity=min(30, count / 4), random_state=seed).fit_transform(parts)
    order = np.argsort(-np.bincount(labels[0], minlength=num_clusters), kind="stable")
    shares = [np.bincount(each, minlength=num_clusters)[order] / count for each in labels]
    rng = np.random.default_rng(seed)
    noise = np.array([_area(*_halves(labels[0], labels[0], rng), num_clusters) for _ in range(_NUM_CHOICES)])
    areas = {}
    for name, each in zip(names[1:], labels[1:], strict=True):
        found = [_area(*_halves(labels[0], each, rng), num_clusters) for _ in range(_NUM_CHOICES)]
        low, high = np.quantile(found, _INTERVAL)
        areas[name] = {
            "value": float(np.mean(found)),
            "low": float(low),
            "high": float(high),
            "noise_floor": float(noise.mean()),
            "noise_low": float(np.quantile(noise, _NOISE_QUANTILE)),
        }
    split = dict(zip(names, points.astype(np.float64).reshape(len(names), count, 2), strict=True))
    return EmbeddingView(embedder, revision, split, dict(zip(names, shares, strict=True)), areas)


def frontier_area(p: np.ndarray, q: np.ndarray) -> float:
    """Return the area under the divergence frontier of two distributions: 1 if they are equal, near 0 if disjoint.

    With R = w P + (1 - w) Q, the frontier is the curve of (exp(-c KL(Q || R)), exp(-c KL(P || R))) for w from 0 to 1,
    with c = 5, KL in nats, and (1, 0) and (0, 1) as its ends. Here w is 0.01 to 0.99 in 100 equal steps, connected by
    straight lines, and the area is the mean of those under the curve as seen from either axis, as in MAUVE.

    Args:
        p: Shares; float64 `[clusters]`.
        q: Shares of the other; float64 `[clusters]`.
    """
    weights = _MIXTURES[:, None]
    middle = weights * p + (1 - weights) * q
    x, y = (np.exp(-SCALE * _kl(each, middle)) for each in (q, p))
    x, y = np.concatenate([[1.0], x, [0.0]]), np.concatenate([[0.0], y, [1.0]])
    under_y = ((y[1:] + y[:-1]) / 2 * (x[:-1] - x[1:])).sum()
    under_x = ((x[1:] + x[:-1]) / 2 * (y[1:] - y[:-1])).sum()
    return float((under_y + under_x) / 2)


def _kl(p: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return the KL divergence of a distribution from mixtures `[mixtures, clusters]` that contain it; `[mixtures]`."""
    some = p > 0
    return (p[some] * np.log(p[some] / middle[:, some])).sum(axis=1)


def _halves(mine: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a random half of one, and the complementary half of the other."""
    order = rng.permutation(len(mine))
    half = len(mine) // 2
    return mine[order[:half]], theirs[order[half : 2 * half]]


def _area(mine: np.ndarray, theirs: np.ndarray, num_clusters: int) -> float:
    p, q = (np.bincount(labels, minlength=num_clusters) / len(labels) for labels in (mine, theirs))
    return frontier_area(p, q)
