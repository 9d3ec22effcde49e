"""Tables edited one after the other: while the prior reads one, those behind it are tokenized, those before written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from hf_toedit.editing.editor import Editor
from hf_toedit.rows.rows import Edited, TableDraft, edit_batch, grouped, with_edits
from hf_toedit.rows.texts import Text, Texts

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""How many tables each stage is ahead of the next one: enough that none waits, little to hold in memory."""


Rows = tuple[int, int]
"""The first row of a batch, counted over all tables, and the number of rows."""


@dataclass(frozen=True)
class Batch:
    """A batch of rows that is through.

    Attributes:
        rows: Which rows.
        source: The rows before.
        found: Their texts.
        edited: What was made of them.
        is_known: Nothing was read for that: it was known before.
    """

    rows: Rows
    source: pa.Table
    found: Sequence[Text]
    edited: Edited
    is_known: bool

    def table(self, texts: Texts, log_column: str | None) -> pa.Table:
        """The rows as they are now; see `with_edits`."""
        return with_edits(self.source, texts, log_column, self.found, self.edited)


def edited_batches(
    editor: Editor,
    tables: Iterable[pa.Table],
    texts: Texts,
    log_column: str | None,
    generation: int,
    known: Callable[[Rows], Edited | None] = lambda rows: None,
) -> Iterator[Batch]:
    """Edit rows once, in order, batch by batch.

    Tokenizing and scoring go on in threads of their own; reading the tables, draws and splicing, and what the caller
    does with a batch, in the caller's.

    Args:
        editor: edits the texts.
        tables: the rows.
        texts: which texts of them.
        log_column: where edits are logged; None for nowhere.
        generation: keys the draws.
        known: What was made of some rows, if it is known; called in this thread, in order.
    """
    concurrency = editor.prior.concurrency

    def batches() -> Iterator[tuple[Rows, pa.Table, Edited | None]]:
        first = 0
        for table in grouped(tables, texts, edit_batch(editor.prior)):
            rows = first, len(table)
            yield rows, table, known(rows)
            first += len(table)

    def begin(batch: tuple[Rows, pa.Table, Edited | None]) -> tuple[Rows, pa.Table, TableDraft] | Batch:
        rows, table, edited = batch
        if edited is not None and edited.fits(found := texts.read(table)):
            return Batch(rows, table, found, edited, is_known=True)
        return rows, table, TableDraft(editor, table, texts, log_column, generation)

    def score(begun: tuple[Rows, pa.Table, TableDraft] | Batch) -> tuple[Rows, pa.Table, TableDraft] | Batch:
        if not isinstance(begun, Batch):
            begun[2].score()
        return begun

    drafts = ahead(begin, batches(), editor.tokenizing, _AHEAD)
    for scored in ahead(score, drafts, editor.scoring, concurrency - 1 + _AHEAD):
        if isinstance(scored, Batch):
            yield scored
            continue
        rows, table, draft = scored
        edited = draft.finish()
        edited.stats.seconds["score"] /= concurrency  # so many share the prior while they are timed
        yield Batch(rows, table, draft.found, edited, is_known=False)


def ahead(function: Callable[[Item], Result], items: Iterable[Item], executor: Executor, size: int) -> Iterator[Result]:
    """`map` in the threads of an executor, in order, at most `size` results ahead of whoever takes them."""
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(executor.submit(function, item))
            if len(begun) > size:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
