"""Passes over the rows of a run, and what a batch of rows is on its way through one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_toedit.mergeable import Statistics

if TYPE_CHECKING:
    import pyarrow as pa

Rows = tuple[int, int]
"""The first row of a batch, counted from the start of the shard, and the number of rows."""


@dataclass(frozen=True)
class Pass:
    """One reading of all rows of a run.

    Attributes:
        name: of its folders, such as `gen1`.
        number: 1 for the first one.
        title: for messages, such as `generation 1`.
        before: the pass whose rows it reads; None where these are the source's.
        writes_rows: whether it writes rows, or statistics alone.
    """

    name: str
    number: int
    title: str
    before: Pass | None = field(default=None, compare=False, repr=False)
    writes_rows: bool = True


class Kept(NamedTuple):
    """What was made of a batch of rows, as a journal keeps it.

    Attributes:
        value: as JSON values, whatever the task makes output rows of.
        statistics: of the batch.
    """

    value: Any
    statistics: Statistics


@dataclass(frozen=True)
class Batch:
    """A batch of rows that is through.

    Attributes:
        rows: which rows.
        kept: what was made of them.
        is_known: nothing was read for that: it was known before.
        table: makes the output rows; not called in a pass that writes none.
    """

    rows: Rows
    kept: Kept
    is_known: bool
    table: Callable[[], pa.Table]
