"""How rows go through an editor, in runs and wherever else they are edited batch by batch."""

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
        """Take what edits.

        Args:
            editor: edits the texts.
            log_column: where edits are logged; None for nowhere.
            flat: Add flat columns; see `rows/flat.py`.
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
        editor: edits the texts.
        tables: the rows.
        texts: which texts of them.
        log_column: where edits are logged; None for nowhere.
        generation: keys the draws.
        known: what was made of some rows, if it is known; called in this thread, in order.
        with_rows: output rows are wanted, and not the counts alone.
        flat: add flat columns.
    """
    return through(EditStages(editor, texts, log_column, generation, with_rows, flat), tables, known)


def through(stages: EditStages, tables: Iterable[pa.Table], known: Callable[[Rows], Kept | None]) -> Iterator[Batch]:
    """Take rows through the stages of an edit, in order, batch by batch; see `edited_batches`."""
    editor = stages.editor
    threads = Threads(editor.tokenizing, editor.scoring, editor.prior.concurrency)
    return staged_batches(stages, threads, tables, stages.texts, edit_batch(editor.prior), known)


@dataclass(frozen=True)
class EditStages:
    """How a table is edited, step by step; see `Stages`."""

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
        # So many share the prior while they are timed.
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
        """What makes the output rows."""
        return partial(with_edits, table, self.texts, self.log_column, found, edited, flat=self.flat)
