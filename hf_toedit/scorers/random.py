"""Random numbers: what every other way of selecting rows is compared with."""

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
    """A number from 0 to 1 by the text of a row and a seed; rows of equal texts have equal numbers.

    Attributes:
        seed: another one gives other numbers.
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
    """Draws numbers; see `Scorer`."""

    name = "random"
    fields = tuple(_FIELDS)

    def __init__(self, seed: int) -> None:
        """Take a seed.

        Args:
            seed: of the numbers.
        """
        self._seed = f"{seed} ".encode()

    def values(self, texts: Sequence[str]) -> list[dict[str, Score]]:
        """See `TextScorer`."""
        return [{"number": (key(self._seed + text.encode()) >> 11) * 2.0**-53} for text in texts]
