"""Tables edited one after the other: while the prior reads one, those behind it are tokenized, those before written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

import pyarrow as pa

from hf_toedit.editing.editor import ToEditor
from hf_toedit.runs.rows import EDIT_BATCH, TableDraft, grouped
from hf_toedit.runs.texts import Texts
from hf_toedit.stats import EditStats

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""How many tables each stage is ahead of the next one: enough that none waits, little to hold in memory."""


def edited_tables(
    editor: ToEditor, tables: Iterable[pa.Table], texts: Texts, log_column: str | None, generation: int
) -> Iterator[tuple[pa.Table, EditStats]]:
    """Edit rows once, in order, batch by batch.

    Tokenizing and scoring go on in threads of their own; reading the tables, draws and splicing, and what the caller
    does with a batch, in the caller's.

    Args:
        editor: edits the texts.
        tables: the rows.
        texts: which texts of them.
        log_column: where edits are logged; None for nowhere.
        generation: keys the draws.

    Returns:
        The edited rows of each batch, and what was counted.
    """

    def begin(table: pa.Table) -> TableDraft:
        return TableDraft(editor, table, texts, log_column, generation)

    concurrency = editor.prior.concurrency
    drafts = ahead(begin, grouped(tables, texts, EDIT_BATCH), editor.tokenizing, _AHEAD)
    for draft in ahead(TableDraft.score, drafts, editor.scoring, concurrency - 1 + _AHEAD):
        edited, stats = draft.finish()
        stats.seconds["score"] /= concurrency  # so many share the prior while they are timed
        yield edited, stats


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
