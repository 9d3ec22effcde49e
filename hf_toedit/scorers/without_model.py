"""Shared code of scorers that need no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from hf_toedit.config import BaseConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.priors.names import ModelName
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.row_texts import RowTexts, row_texts
from hf_toedit.scorers.scorer import Prepared, RowScores, Score, Scorer

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self


class WithoutModelConfig(BaseConfig):
    """Settings of a scorer that needs no model; see `ScorerConfig`. A subclass is a frozen dataclass with a `kind`."""

    kind: ClassVar[str]

    @abstractmethod
    def scorer(self) -> Scorer:
        """Return the scorer."""

    @property
    def reported(self) -> Self:
        """Settings for plans and cards of a selection, without fitted data."""
        return self

    @property
    @abstractmethod
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""

    @property
    def revision(self) -> str:
        """See `ScorerConfig`."""
        return ""

    @property
    def own_code(self) -> dict[str, str]:
        """See `ScorerConfig`."""
        return {}

    @property
    def trust_remote_code(self) -> bool:
        """See `ScorerConfig`."""
        return False

    def pinned(self) -> Self:
        """See `ScorerConfig`."""
        return self

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ()

    @property
    def device(self) -> str:
        """See `ScorerConfig`."""
        return "auto"

    @property
    def model_name(self) -> ModelName | None:
        """See `ScorerConfig`."""
        return None

    def on(self, device: str) -> Self:
        """See `ScorerConfig`."""
        return self

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """See `ScorerConfig`."""
        return self.pinned()

    def as_planned(self, planned: Self) -> Self:
        """See `ScorerConfig`."""
        return self

    def check_planned(self, planned: Self) -> None:
        """See `ScorerConfig`."""

    def check(self, features: Features) -> None:
        """See `ScorerConfig`."""

    def load(self, resources: Resources) -> tuple[Self, Scorer]:
        """See `ScorerConfig`."""
        config = self.pinned()
        return config, config.scorer()


class ModelFreeScorer(ABC):
    """Base class of scorers that need no model; see `Scorer`."""

    name: str
    concurrency = 1
    batch_bytes = 4 * 2**20

    @staticmethod
    def prepared(table: pa.Table, state: Any) -> Prepared:
        """Return prepared rows without documents for a model.

        Args:
            table: The rows.
            state: State for `score`.
        """
        return Prepared(len(table), [], np.zeros(len(table), np.int64), state)

    @abstractmethod
    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""

    @abstractmethod
    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`."""

    def read(self, documents: Sequence[Document]) -> None:  # noqa: B027 - optional to override
        """See `Scorer`; does nothing, because there is no model."""


class TextScorer(ModelFreeScorer):
    """Gives the text of a row, see `row_texts`, a value in each field; see `Scorer`."""

    fields: Sequence[str]

    @abstractmethod
    def values(self, texts: Sequence[str]) -> list[dict[str, Score]]:
        """Return the values of each text."""

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""
        return self.prepared(table, row_texts(table, texts, lambda messages: None))

    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`."""
        found: RowTexts = prepared.state
        rows: list[dict[str, Score]] = [dict.fromkeys(self.fields) for _ in range(prepared.num_rows)]
        for row, values in zip(found.rows, self.values(found.texts), strict=True):
            rows[row] = values
        num_documents = sum(found.num_read) + found.num_skipped.total()
        return RowScores(rows, num_documents, 0, dict(found.num_skipped), dict(found.skip_reasons))
