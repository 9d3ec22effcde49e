"""Random numbers: the baseline for every other selection of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hf_toedit.features.hashing import key
from hf_toedit.scorers.scorer import Score
from hf_toedit.scorers.without_model import TextScorer, WithoutModelConfig

_FIELDS = {"number": "float64"}


@dataclass(frozen=True)
class RandomConfig(WithoutModelConfig):
    """A number from 0 to 1, from a hash of the row's text and a seed; rows of equal texts have equal numbers.

    Attributes:
        seed: Random seed.
    """

    kind: ClassVar[str] = "random"

    seed: int = 0

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return _FIELDS

    def scorer(self) -> RandomScorer:
        """See `WithoutModelConfig`."""
        return RandomScorer(self.seed)


class RandomScorer(TextScorer):
    """Computes random numbers; see `Scorer`."""

    name = "random"
    fields = tuple(_FIELDS)

    def __init__(self, seed: int) -> None:
        """Store the seed.

        Args:
            seed: Random seed.
        """
        self._seed = f"{seed} ".encode()

    def values(self, texts: Sequence[str]) -> list[dict[str, Score]]:
        """See `TextScorer`."""
        return [{"number": (key(self._seed + text.encode()) >> 11) * 2.0**-53} for text in texts]
