"""The tasks of mixing: rows of one dataset are laid out for a mixture, and rows of all are put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hf_toedit.checked import Names
from hf_toedit.mergeable import Count, Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import Consequence
from hf_toedit.tasks.map import ChosenRowsTask

if TYPE_CHECKING:
    from datasets import Features


@dataclass(frozen=True)
class PartTask(ChosenRowsTask):
    """The rows of one dataset, in the order of the mixture: the columns that all have, and one for the name.

    Attributes:
        name: of the dataset in the mixture.
        columns: the ones to keep, in this order.
        name_column: the column of the name.
    """

    kind = "mix-part"
    done = "laid out for a mixture"

    name: str
    columns: Names
    name_column: str

    @property
    def passes(self) -> tuple[Pass, ...]:
        """See `Task.passes`."""
        return (Pass("part", 1, f"the rows of {self.name}"),)

    def features(self, features: Features) -> Mapping[str, Any]:
        """See `MapTask.features`."""
        from datasets import Value

        return {**{name: features[name] for name in self.columns}, self.name_column: Value("string")}

    def map(self, table: pa.Table) -> pa.Table:
        """See `MapTask.map`."""
        names = pa.repeat(pa.scalar(self.name, pa.string()), len(table))
        return table.select(self.columns).append_column(self.name_column, names)


@dataclass(frozen=True)
class MixPart:
    """What a mixture has of one dataset.

    Attributes:
        source: what the user calls its source.
        revision: pins the source.
        share: of the tokens of the mixture, as asked for.
        num_rows: rows in the mixture, those counted twice that are there twice.
        num_tokens: their tokens.
        num_rows_there: rows of the source.
        num_tokens_there: tokens of the source.
        columns_left_out: columns that not all datasets have.
        license: as its card says; empty where it says none.
    """

    source: str
    revision: str
    share: float
    num_rows: Count
    num_tokens: Count
    num_rows_there: Count
    num_tokens_there: Count
    columns_left_out: Names
    license: str

    @property
    def epochs(self) -> float:
        """How often its rows are there on average."""
        return self.num_tokens / self.num_tokens_there


@dataclass(frozen=True)
class MixTask(ChosenRowsTask):
    """Rows that lie ready are written in the order of the mixture.

    Attributes:
        parts: the datasets, by name.
        name_column: the column that says where a row is from.
        tokenizer: what counted tokens; None counted words.
        seed: of the draw and of the order.
    """

    kind = "mix"
    done = "mixed"

    parts: dict[str, MixPart]
    name_column: str
    tokenizer: str | None
    seed: int

    @property
    def passes(self) -> tuple[Pass, ...]:
        """See `Task.passes`."""
        return (Pass("mixed", 1, "the mixture"),)

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """See `Task.consequences`."""
        return ((("source.source", "source_revision", "files"), ("parts.", "seed"), "the rows of the datasets differ"),)

    def report(self, passes: Mapping[Pass, tuple[int, Statistics]]) -> dict[str, Any]:
        """See `Task.report`."""
        parts = {name: {**asdict(part), "epochs": part.epochs} for name, part in self.parts.items()}
        return {**super().report(passes), "datasets": parts}
