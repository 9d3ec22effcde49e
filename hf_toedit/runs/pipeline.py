"""A pipeline over tables: while the model reads one, the next are tokenized and the previous are written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple, Protocol, TypeVar

import pyarrow as pa

from hf_toedit.rows.rows import GroupSize, grouped
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Batch, Kept, Rows

Item = TypeVar("Item")
Result = TypeVar("Result")
Draft = TypeVar("Draft")

_AHEAD = 2
"""Number of tables by which each stage is ahead of the next: enough to avoid waits, few enough for memory."""


class Threads(NamedTuple):
    """The threads of a model.

    Attributes:
        tokenizing: Executor with one thread.
        reading: Executor with `concurrency` threads.
        concurrency: Number of threads that speed up the model.
    """

    tokenizing: Executor
    reading: Executor
    concurrency: int


class Stages(Protocol[Draft]):
    """Three processing steps of a table."""

    def begin(self, table: pa.Table) -> Draft:
        """Tokenize a table; runs in its own thread."""
        ...

    def read(self, draft: Draft) -> None:
        """Run the model on a draft; runs in other threads."""
        ...

    def end(self, draft: Draft) -> tuple[Kept, Callable[[], pa.Table]]:
        """Return the result, and a function that makes the output rows from it; runs in the caller's thread."""
        ...

    def again(self, table: pa.Table, kept: Kept) -> Callable[[], pa.Table] | None:
        """Return a function that makes the output rows from a known result; None if it does not fit the rows."""
        ...


def staged_batches(
    stages: Stages[Draft],
    threads: Threads,
    tables: Iterable[pa.Table],
    texts: Texts,
    size: GroupSize,
    known: Callable[[Rows], Kept | None] = lambda rows: None,
) -> Iterator[Batch]:
    """Process rows in three stages, in order, batch by batch.

    Tokenizing and reading run in their own threads. Iterating over the tables, the last stage, and the caller's work on
    a batch run in the caller's thread.

    Args:
        stages: The three stages.
        threads: Threads of the first two stages.
        tables: The rows.
        texts: Selects the texts that count for the size of a batch.
        size: Size of a batch.
        known: Returns an earlier result for some rows, or None; called in this thread, in order.
    """

    def batches() -> Iterator[tuple[Rows, pa.Table, Kept | None]]:
        first = 0
        for table in grouped(tables, texts, size):
            rows = first, len(table)
            yield rows, table, known(rows)
            first += len(table)

    def begin(batch: tuple[Rows, pa.Table, Kept | None]) -> tuple[Rows, Draft] | Batch:
        rows, table, kept = batch
        if kept is not None and (make := stages.again(table, kept)) is not None:
            return Batch(rows, kept, True, make)
        return rows, stages.begin(table)

    def read(begun: tuple[Rows, Draft] | Batch) -> tuple[Rows, Draft] | Batch:
        if not isinstance(begun, Batch):
            stages.read(begun[1])
        return begun

    drafts = ahead(begin, batches(), threads.tokenizing, _AHEAD)
    for done in ahead(read, drafts, threads.reading, threads.concurrency - 1 + _AHEAD):
        if isinstance(done, Batch):
            yield done
        else:
            rows, draft = done
            made, make = stages.end(draft)
            yield Batch(rows, made, False, make)


def ahead(function: Callable[[Item], Result], items: Iterable[Item], executor: Executor, size: int) -> Iterator[Result]:
    """`map` in the threads of an executor, in order, at most `size` results ahead of the consumer."""
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
