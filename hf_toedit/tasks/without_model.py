"""Base class of tasks without a model: rows are processed and counted batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hf_toedit.mergeable import Statistics
from hf_toedit.rows.rows import EDIT_BATCH, grouped
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows
from hf_toedit.runs.task import LoadedTask

if TYPE_CHECKING:
    from hf_toedit.editing.alignment import Document


class LoadedWithoutModel(LoadedTask):
    """Processes rows in batches; only the counts of a batch are journaled, and its rows are made again."""

    size = EDIT_BATCH
    """Size of a batch."""

    @abstractmethod
    def counted(self, texts: Texts, table: pa.Table) -> Statistics:
        """Count a batch of rows."""

    def made(self, table: pa.Table) -> pa.Table:
        """Return the output rows; not called in a pass that writes none."""
        return table

    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """See `LoadedTask.process`."""
        first = 0
        for table in grouped(tables, texts, self.size):
            rows = first, len(table)
            kept = known(rows)
            yield Batch(
                rows, kept or Kept(None, self.counted(texts, table)), kept is not None, partial(self.made, table)
            )
            first += len(table)

    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        """See `LoadedTask.sample`; there are no tokens."""
        return np.zeros(len(table), np.int64), []

    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """See `LoadedTask.read`; there is no model."""
