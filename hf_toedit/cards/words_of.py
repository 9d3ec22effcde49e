"""The card words of a scorer of any kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown

Config = TypeVar("Config")


class ScorerWords(ABC, Generic[Config]):
    """The card words of a scorer.

    Attributes:
        role: Role of the model; empty for no model.
        tags: Tags of the dataset, in addition to those of all scores.
    """

    role: ClassVar[str] = ""
    tags: ClassVar[tuple[str, ...]] = ()

    def __init__(self, scorer: Config) -> None:
        """Store the settings.

        Args:
            scorer: Settings of the scorer.
        """
        self.scorer = scorer

    @property
    @abstractmethod
    def title(self) -> str:
        """What was done to the source, for headings."""

    @abstractmethod
    def scores(self, data: CardData) -> Markdown:
        """What the scores of a row are, within a sentence."""

    @abstractmethod
    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        """The settings of the scorer, with their names."""

    @abstractmethod
    def what(self, name: str) -> str:
        """What the values of a field are, for pictures."""

    @abstractmethod
    def meaning(self, name: str) -> str:
        """What the values of a field are, for the list of fields."""

    @abstractmethod
    def limits(self) -> Iterator[str]:
        """What readers should know before they use the scores, as Markdown."""
