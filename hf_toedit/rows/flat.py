"""Figures of the edit log as columns of plain numbers, which the Hub's viewer can plot, sort and filter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hf_toedit.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

FIGURES = ("selected_rate", "changed_rate", "nll")
"""Suffixes of the column names, after the name of the log.

The rates are fractions of the row's tokens in this generation; `nll` is the mean negative log-likelihood of a token, in
nats. All are null if no token of the row was read.
"""


def flat_names(log_column: str) -> list[str]:
    """Return the names of the columns."""
    return [f"{log_column}_{figure}" for figure in FIGURES]


def flat_features(log_column: str) -> Features:
    """Return the names and types of the columns."""
    from datasets import Features, Value

    return Features({name: Value("float32") for name in flat_names(log_column)})


def check_flat(features: Features, log_column: str) -> None:
    """Refuse a source that already has a column of one of these names.

    Raises:
        SourceError: There is such a column.
    """
    for name in flat_names(log_column):
        if name in features:
            raise SourceError(
                f"the source already has a column {name!r}, which --flat-columns would write. Leave that out, or "
                f"choose another name for the edit log with --edit-log-column."
            )


def flat_present(columns: Iterable[str], log_column: str) -> list[str]:
    """Return the flat columns of rows, which follow the edit log; columns of the source precede it.

    Args:
        columns: Columns of the rows, in order.
        log_column: The edit log column.
    """
    names = list(columns)
    behind = names[names.index(log_column) + 1 :]
    return [name for name in flat_names(log_column) if name in behind]


def flat_values(log: pa.Array | pa.ChunkedArray, log_column: str) -> dict[str, pa.Array]:
    """Return the values of the columns, float32 `[rows]`.

    Args:
        log: Edit log of each row.
        log_column: Name of the edit log column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    tokens = pc.cast(pc.struct_field(log, "num_tokens"), pa.float64())
    tokens = pc.if_else(pc.equal(tokens, 0), pa.scalar(None, pa.float64()), tokens)
    values = (
        pc.divide(pc.cast(pc.struct_field(log, "num_selected"), pa.float64()), tokens),
        pc.divide(pc.cast(pc.struct_field(log, "num_changed"), pa.float64()), tokens),
        pc.struct_field(log, "nll"),
    )
    return {name: pc.cast(value, pa.float32()) for name, value in zip(flat_names(log_column), values, strict=True)}
