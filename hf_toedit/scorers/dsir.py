"""DSIR: log-likelihood ratio of a text between a target and the source data, from hashed n-grams."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hf_toedit.errors import UsageError
from hf_toedit.features.importance import log_ratios, log_weights
from hf_toedit.features.ngrams import NUM_BUCKETS, HashedNgrams
from hf_toedit.scorers.scorer import Score
from hf_toedit.scorers.without_model import TextScorer, WithoutModelConfig

_FIELDS = {"log_weight": "float64", "mean_log_weight": "float64"}


@dataclass(frozen=True)
class DsirConfig(WithoutModelConfig):
    """Importance weights of DSIR (Xie et al. 2023, arXiv 2302.03169), see `features/importance.py`.

    `log_weight` is ln p_target(x) - ln p_source(x) of the text of a row, where both are bags of hashed words and pairs
    of words. Its magnitude grows with the length of a text; `mean_log_weight` is the mean over its n-grams, which
    treats short and long texts alike.

    Attributes:
        target: The user's name of the target.
        target_revision: Commit or fingerprint of the target.
        log_ratios: Log-ratios of the buckets, see `features.importance.log_ratios`: 10,000 float64, little-endian, in
            base64; empty if they are no longer available.
    """

    kind: ClassVar[str] = "dsir"

    target: str
    target_revision: str
    log_ratios: str

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        if self.log_ratios:
            self.ratios  # noqa: B018 - raises if they are damaged

    @classmethod
    def fitted(cls, target: str, target_revision: str, wanted: np.ndarray, raw: np.ndarray) -> DsirConfig:
        """Compute settings from counts of n-grams.

        Args:
            target: The user's name of the target.
            target_revision: Commit or fingerprint of the target.
            wanted: Counts of both orders of n-grams in the target; int `[10000]`.
            raw: The same counts of the data to select from.

        Raises:
            UsageError: One of them has no words.
        """
        ratios = log_ratios(wanted, raw).astype("<f8")
        return cls(target, target_revision, base64.b64encode(ratios.tobytes()).decode())

    @property
    def reported(self) -> DsirConfig:
        """See `WithoutModelConfig`."""
        return replace(self, log_ratios="")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return _FIELDS

    @property
    def ratios(self) -> np.ndarray:
        """Log-ratios of the buckets; float64 `[10000]`."""
        try:
            found = np.frombuffer(base64.b64decode(self.log_ratios, validate=True), "<f8")
        except ValueError:
            found = np.empty(0)
        if len(found) != NUM_BUCKETS or not np.isfinite(found).all():
            raise UsageError(f"log_ratios do not hold {NUM_BUCKETS:,} numbers in base64.")
        return found

    def scorer(self) -> DsirScorer:
        """See `WithoutModelConfig`."""
        return DsirScorer(self.ratios)


class DsirScorer(TextScorer):
    """Computes importance weights of texts; see `Scorer`."""

    name = "dsir"
    fields = tuple(_FIELDS)

    def __init__(self, ratios: np.ndarray) -> None:
        """Store the fitted log-ratios.

        Args:
            ratios: float64 `[10000]`.
        """
        self._ratios = ratios
        self._ngrams = HashedNgrams()

    def values(self, texts: Sequence[str]) -> list[dict[str, Score]]:
        """See `TextScorer`."""
        hashed = self._ngrams.count(texts)
        weights = log_weights(hashed, self._ratios)
        counts = hashed.unigrams.lengths + hashed.bigrams.lengths
        means = weights / np.maximum(counts, 1)
        return [
            dict(zip(_FIELDS, values, strict=True)) for values in zip(weights.tolist(), means.tolist(), strict=True)
        ]
