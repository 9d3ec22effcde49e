"""The tasks of mixing: prepare the rows of each dataset for a mixture, and combine them."""

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
    """Writes the rows of one dataset in the order of the mixture, with the shared columns and a name column.

    Attributes:
        name: Name of the dataset in the mixture.
        columns: Columns to keep, in this order.
        name_column: Column of the dataset name.
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
    """The part of one dataset in a mixture.

    Attributes:
        source: Name of its source, as given by the user.
        revision: Revision or fingerprint that pins the source.
        share: Requested fraction of the tokens of the mixture.
        num_rows: Rows in the mixture; repeated rows count each time.
        num_tokens: Tokens of these rows.
        num_rows_there: Rows of the source.
        num_tokens_there: Tokens of the source.
        columns_left_out: Columns that are dropped because other datasets lack them.
        license: Licence in its card; empty if there is none.
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
        """Average number of occurrences of its rows."""
        return self.num_tokens / self.num_tokens_there


@dataclass(frozen=True)
class MixTask(ChosenRowsTask):
    """Writes prepared rows in the order of the mixture.

    Attributes:
        parts: The datasets, by name.
        name_column: Column with the dataset of each row.
        tokenizer: Tokenizer that counted tokens; None if words were counted.
        seed: Random seed of the sample and of the order.
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
