"""What a run of scores needs of a scorer: the `Scorer` protocol, and the settings that name one and load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from hf_toedit.config import Resources
from hf_toedit.priors.names import ModelName

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.editing.alignment import Document
    from hf_toedit.rows.texts import Texts

Score = float | int | None


class Prepared(NamedTuple):
    """Rows on their way through a scorer.

    Attributes:
        num_rows: rows of the table.
        documents: what the model reads, tokenized, in the order in which it reads them.
        num_tokens: int64 `[rows]`: tokens of each row's texts.
        state: whatever else the scorer needs to score them.
    """

    num_rows: int
    documents: list[Document]
    num_tokens: np.ndarray
    state: Any


@dataclass
class RowScores:
    """What a scorer says of the rows of a table.

    Attributes:
        rows: for each row, a value for each of the scorer's fields, rounded to the type of its column; None where
            there is nothing to read, or the model's answer is not a finite number.
        num_documents: texts in them.
        num_tokens: tokens of the texts that were read.
        num_skipped: texts that were not read, by cause, as of `Statistics`.
        skip_reasons: what was said of one such text, by cause.
    """

    rows: list[dict[str, Score]]
    num_documents: int
    num_tokens: int
    num_skipped: dict[str, int] = field(default_factory=dict)
    skip_reasons: dict[str, str] = field(default_factory=dict)


class Scorer(Protocol):
    """Gives each row a value in each of its fields; a row's values must not depend on other rows.

    Attributes:
        name: of the model, for messages.
        concurrency: how many threads may usefully call `score` at once; any number may.
        batch_bytes: UTF-8 bytes of text that a call of `prepare` should have.
    """

    name: str
    concurrency: int
    batch_bytes: int

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """The first step, which runs in a thread of its own: find the texts of the rows and tokenize them."""
        ...

    def score(self, prepared: Prepared) -> RowScores:
        """The second step: read them.

        Raises:
            PriorError: the model fails on every text, or runs out of memory.
        """
        ...

    def read(self, documents: Sequence[Document]) -> None:
        """Have the model read documents and forget what it says of them, to find out how fast it is."""
        ...


class ScorerConfig(Protocol):
    """The settings of a scorer: a frozen dataclass that is a `BaseConfig`, which a plan holds."""

    @property
    def kind(self) -> str:
        """The scorer's name in plans, on the command line, and of its field in the struct of scores."""
        ...

    @property
    def fields(self) -> Mapping[str, str]:
        """The scorer's fields and their types, as `datasets.Value` names them; known once the settings are pinned."""
        ...

    @property
    def revision(self) -> str:
        """What pins the model: a commit sha, or a fingerprint of local files; empty until the settings are pinned."""
        ...

    @property
    def own_code(self) -> dict[str, str]:
        """The settings that name a class of the user's own, with its name: code that a plan may bring along."""
        ...

    @property
    def trust_remote_code(self) -> bool:
        """Whether the model's repository may run its Python code here."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All settings as plain JSON values."""
        ...

    def pinned(self) -> Self:
        """The same settings with all that can be known without loading weights: commit, labels.

        Raises:
            PriorError: the model cannot be found.
        """
        ...

    @property
    def pins(self) -> tuple[str, ...]:
        """Names of the settings that are found and not given: they follow from the others."""
        ...

    @property
    def device(self) -> str:
        """Where the model runs, as `PriorConfig` has it."""
        ...

    @property
    def model_name(self) -> ModelName | None:
        """The model; None for none."""
        ...

    def on(self, device: str) -> Self:
        """The same on another device."""
        ...

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """The same settings, pinned, with the dtype of the model.

        Args:
            machine: the kind of machine that it runs on, where its device does not say so; None is this one.

        Raises:
            PriorError: the model cannot be found.
        """
        ...

    def as_planned(self, planned: Self) -> Self:
        """The same, the model named as in a plan where it is the same model: a copy elsewhere, for one."""
        ...

    def check_planned(self, planned: Self) -> None:
        """Refuse to go on with another model, or code, than was planned.

        Raises:
            PriorError: the model has changed since.
            RunError: the code of the user's own has.
        """
        ...

    def check(self, features: Features) -> None:
        """Refuse a source that lacks what is scored beside its texts.

        Raises:
            SourceError: it does.
        """
        ...

    def load(self, resources: Resources) -> tuple[Self, Scorer]:
        """Load the model; the settings that come back name the dtype that it has.

        Raises:
            PriorError: it cannot be loaded.
        """
        ...
