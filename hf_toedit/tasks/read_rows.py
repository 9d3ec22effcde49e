"""Reading of rows with a prior: as with an editor, and each text is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from hf_toedit.rows.rows import TableDraft
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows
from hf_toedit.tasks.edit_rows import EditStages, LoadedEdit, through
from hf_toedit.tasks.read_stats import ReadStats


class LoadedRead(LoadedEdit):
    """An editor that selects nothing, with its prior; see `LoadedTask`."""

    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """See `LoadedTask.process`."""
        stages = _ReadStages(self.editor, texts, None, pass_.number, with_rows=False, flat=False)
        return through(stages, tables, known)


class _ReadStages(EditStages):
    """See `Stages`."""

    def end(self, draft: TableDraft) -> tuple[Kept, Callable[[], pa.Table]]:
        kept, made = super().end(draft)
        return kept._replace(statistics=ReadStats.of(kept.statistics, draft.readings)), made
