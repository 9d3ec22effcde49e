"""Passes over the rows of a run, and the state of a batch of rows in a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_toedit.mergeable import Statistics

if TYPE_CHECKING:
    import pyarrow as pa

Rows = tuple[int, int]
"""Index of the first row of a batch in its shard, and number of rows."""


@dataclass(frozen=True)
class Pass:
    """One pass over all rows of a run.

    Attributes:
        name: Name of its folders, such as `gen1`.
        number: Number of the pass, starting at 1.
        title: Title for messages, such as `generation 1`.
        before: The pass whose rows it reads; None if it reads the source.
        writes_rows: Whether it writes rows, or only statistics.
    """

    name: str
    number: int
    title: str
    before: Pass | None = field(default=None, compare=False, repr=False)
    writes_rows: bool = True


class Kept(NamedTuple):
    """The result of a batch of rows, as stored in a journal.

    Attributes:
        value: JSON values from which the task makes output rows.
        statistics: Statistics of the batch.
    """

    value: Any
    statistics: Statistics


@dataclass(frozen=True)
class Batch:
    """A processed batch of rows.

    Attributes:
        rows: Position of the rows.
        kept: Result of the batch.
        is_known: Whether the result was known before, so that nothing was read for it.
        table: Makes the output rows; not called in a pass that writes none.
    """

    rows: Rows
    kept: Kept
    is_known: bool
    table: Callable[[], pa.Table]
