"""Column: a number that the rows already contain, such as a score of an earlier run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from hf_toedit.errors import SourceError, UsageError
from hf_toedit.rows.nested import ITEMS, ValuePath, find, kind_name, values_at
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.scorer import Prepared, RowScores
from hf_toedit.scorers.without_model import ModelFreeScorer, WithoutModelConfig

if TYPE_CHECKING:
    from datasets import Features

_FIELDS = {"value": "float64"}


@dataclass(frozen=True)
class ColumnConfig(WithoutModelConfig):
    """The value of a column of numbers or booleans (1 and 0).

    Attributes:
        column: A column, or a field in it (`scores.perplexity.nll`).
    """

    kind: ClassVar[str] = "column"

    column: str = ""

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        if not self.column.strip():
            raise UsageError("scorer 'column' needs a column of numbers. Name it with --column.")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return _FIELDS

    def check(self, features: Features) -> None:
        """See `ScorerConfig`."""
        number_path(features.arrow_schema, self.column)

    def scorer(self) -> ColumnScorer:
        """See `WithoutModelConfig`."""
        return ColumnScorer(self.column)


class ColumnScorer(ModelFreeScorer):
    """Reads the column; see `Scorer`."""

    name = "column"

    def __init__(self, column: str) -> None:
        """Store the name of the column.

        Args:
            column: See `ColumnConfig`.
        """
        self._column = column

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""
        found = values_at(table, number_path(table.schema, self._column))
        numbers = np.full(len(table), math.nan)
        numbers[found.rows] = found.array.cast(pa.float64(), safe=False).to_numpy()  # rounds above 2^53
        return self.prepared(table, numbers)

    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`."""
        rows = [{"value": value if math.isfinite(value) else None} for value in prepared.state.tolist()]
        return RowScores(rows, num_documents=len(rows), num_tokens=0)


def number_path(schema: pa.Schema, column: str) -> ValuePath:
    """Return the path of a column's numbers.

    Raises:
        SourceError: There is no such column, or it does not have one number per row.
    """
    path = find(schema, column)
    kind = path.kind
    is_number = any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))
    if not is_number or ITEMS in path.steps:
        raise SourceError(f"column {column!r} holds {kind_name(kind)}, not one number per row. Name another one.")
    return path
