"""The interface between score runs and scorers: the `Scorer` protocol, and the settings that name and load one."""

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
    """Prepared rows, ready to be scored.

    Attributes:
        num_rows: Number of rows of the table.
        documents: Tokenized input of the model, in the order in which it reads it.
        num_tokens: Number of tokens of each row's texts; int64 `[rows]`.
        state: Additional state of the scorer.
    """

    num_rows: int
    documents: list[Document]
    num_tokens: np.ndarray
    state: Any


@dataclass
class RowScores:
    """The scores of the rows of a table.

    Attributes:
        rows: For each row, a value for each of the scorer's fields, rounded to the type of its column; None if there is
            nothing to read, or the model's output is not a finite number.
        num_documents: Number of texts in the rows.
        num_tokens: Number of tokens of the texts that were read.
        num_skipped: Number of texts that were not read, by cause, as in `Statistics`.
        skip_reasons: Error message of one such text, by cause.
    """

    rows: list[dict[str, Score]]
    num_documents: int
    num_tokens: int
    num_skipped: dict[str, int] = field(default_factory=dict)
    skip_reasons: dict[str, str] = field(default_factory=dict)


class Scorer(Protocol):
    """Gives each row a value in each of its fields; a row's values must not depend on other rows.

    Attributes:
        name: Name of the model, for messages.
        concurrency: Number of threads that may usefully call `score` concurrently; any number may.
        batch_bytes: Preferred size of the text in a call of `prepare`, in UTF-8 bytes.
    """

    name: str
    concurrency: int
    batch_bytes: int

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """Find the texts of the rows and tokenize them; the first step, which runs in its own thread."""
        ...

    def score(self, prepared: Prepared) -> RowScores:
        """Score prepared rows; the second step.

        Raises:
            PriorError: The model fails on every text, or runs out of memory.
        """
        ...

    def read(self, documents: Sequence[Document]) -> None:
        """Run the model on documents and discard the results, to measure its speed."""
        ...


class ScorerConfig(Protocol):
    """Settings of a scorer, stored in a plan: a frozen dataclass derived from `BaseConfig`."""

    @property
    def kind(self) -> str:
        """Name of the scorer in plans, on the command line, and of its field in the struct of scores."""
        ...

    @property
    def fields(self) -> Mapping[str, str]:
        """The scorer's fields and their types, as `datasets.Value` names them; known once the settings are pinned."""
        ...

    @property
    def revision(self) -> str:
        """Commit sha of the model, or a fingerprint of local files; empty until the settings are pinned."""
        ...

    @property
    def own_code(self) -> dict[str, str]:
        """Settings that name a user-defined class, with its name: code that a plan may bring along."""
        ...

    @property
    def trust_remote_code(self) -> bool:
        """Whether the Python code of the model's repository may run here."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return all settings as plain JSON values."""
        ...

    def pinned(self) -> Self:
        """Return the settings with everything that can be found without loading weights: commit, labels.

        Raises:
            PriorError: The model cannot be found.
        """
        ...

    @property
    def pins(self) -> tuple[str, ...]:
        """Names of the settings that pinning derives from the others."""
        ...

    @property
    def device(self) -> str:
        """Device of the model, as in `PriorConfig`."""
        ...

    @property
    def model_name(self) -> ModelName | None:
        """The model; None if there is none."""
        ...

    def on(self, device: str) -> Self:
        """Return the same settings on another device."""
        ...

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """Return the pinned settings, with the dtype of the model.

        Args:
            machine: Kind of machine on which the model runs, if its device does not determine it; None for this
                machine.

        Raises:
            PriorError: The model cannot be found.
        """
        ...

    def as_planned(self, planned: Self) -> Self:
        """Return the settings with the model's name in a plan if it is the same model, for example a copy elsewhere."""
        ...

    def check_planned(self, planned: Self) -> None:
        """Check that model and code are those that were planned.

        Raises:
            PriorError: The model has changed since planning.
            RunError: The user-defined code has changed since planning.
        """
        ...

    def check(self, features: Features) -> None:
        """Check that a source has everything that is scored besides its texts.

        Raises:
            SourceError: Something is missing.
        """
        ...

    def load(self, resources: Resources) -> tuple[Self, Scorer]:
        """Load the model; the returned settings contain its dtype.

        Raises:
            PriorError: The model cannot be loaded.
        """
        ...
