"""Editing of rows, batch by batch, in runs and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.draft import Draft
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.result import log_counts
from hf_toedit.rows.rows import Edited, TableDraft, edit_batch, with_edits
from hf_toedit.rows.texts import Text, Texts
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows
from hf_toedit.runs.pipeline import Threads, staged_batches
from hf_toedit.runs.task import LoadedTask
from hf_toedit.stats import EditStats


class LoadedEdit(LoadedTask):
    """An editor with its prior; see `LoadedTask`."""

    def __init__(self, editor: Editor, log_column: str | None, *, flat: bool = False) -> None:
        """Store the editor and the log settings.

        Args:
            editor: Edits the texts.
            log_column: Column of the edit log; None writes no log.
            flat: Whether to add flat columns; see `rows/flat.py`.
        """
        self.editor = editor
        self.concurrency = editor.prior.concurrency
        self._log_column = log_column
        self._flat = flat

    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """See `LoadedTask.process`."""
        return edited_batches(
            self.editor,
            tables,
            texts,
            self._log_column,
            pass_.number,
            known,
            with_rows=pass_.writes_rows,
            flat=self._flat,
        )

    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        """See `LoadedTask.sample`."""
        draft = TableDraft(self.editor, table, texts, None, 1)
        return draft.num_tokens, draft.documents

    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """See `LoadedTask.read`."""
        drafts = [replace(Draft.of([], 1, None), documents=list(batch)) for batch in batches]
        list(self.editor.scoring.map(self.editor.score, drafts))


def edited_batches(
    editor: Editor,
    tables: Iterable[pa.Table],
    texts: Texts,
    log_column: str | None,
    generation: int,
    known: Callable[[Rows], Kept | None] = lambda rows: None,
    *,
    with_rows: bool = True,
    flat: bool = False,
) -> Iterator[Batch]:
    """Edit rows once, in order, batch by batch.

    Args:
        editor: Edits the texts.
        tables: The rows.
        texts: Selects the texts of the rows.
        log_column: Column of the edit log; None writes no log.
        generation: Number of the generation, part of the random key.
        known: Returns an earlier result for some rows, or None; called in this thread, in order.
        with_rows: Whether output rows are needed, or only statistics.
        flat: Whether to add flat columns.
    """
    return through(EditStages(editor, texts, log_column, generation, with_rows, flat), tables, known)


def through(stages: EditStages, tables: Iterable[pa.Table], known: Callable[[Rows], Kept | None]) -> Iterator[Batch]:
    """Process rows in the stages of an edit, in order, batch by batch; see `edited_batches`."""
    editor = stages.editor
    threads = Threads(editor.tokenizing, editor.scoring, editor.prior.concurrency)
    return staged_batches(stages, threads, tables, stages.texts, edit_batch(editor.prior), known)


@dataclass(frozen=True)
class EditStages:
    """The stages of editing a table; see `Stages`."""

    editor: Editor
    texts: Texts
    log_column: str | None
    generation: int
    with_rows: bool
    flat: bool

    def begin(self, table: pa.Table) -> TableDraft:
        """See `Stages.begin`."""
        return TableDraft(self.editor, table, self.texts, self.log_column, self.generation)

    def read(self, draft: TableDraft) -> None:
        """See `Stages.read`."""
        draft.score()

    def end(self, draft: TableDraft) -> tuple[Kept, Callable[[], pa.Table]]:
        """See `Stages.end`."""
        edited = draft.finish()
        # That many threads share the prior while their time is measured.
        edited.stats.seconds["score"] /= self.editor.prior.concurrency
        value = [edited.texts, edited.logs] if self.with_rows else [[], None]
        return Kept(value, edited.stats), self._made(draft.table, draft.found, edited)

    def again(self, table: pa.Table, kept: Kept) -> Callable[[], pa.Table] | None:
        """See `Stages.again`."""
        stats = kept.statistics
        assert isinstance(stats, EditStats)
        rows_texts, logs = kept.value
        edited = Edited(rows_texts, logs, stats, log_counts(self.editor.config))
        found = self.texts.read(table)
        if not edited.fits(found):
            return None
        return self._made(table, found, edited)

    def _made(self, table: pa.Table, found: Sequence[Text], edited: Edited) -> Callable[[], pa.Table]:
        """Return a function that makes the output rows."""
        return partial(with_edits, table, self.texts, self.log_column, found, edited, flat=self.flat)
