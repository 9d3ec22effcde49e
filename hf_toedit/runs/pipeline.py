"""Tables done one after the other: while the model reads one, those behind it are tokenized, those before written."""

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
"""How many tables each stage is ahead of the next one: enough that none waits, little to hold in memory."""


class Threads(NamedTuple):
    """In which threads a model works.

    Attributes:
        tokenizing: one thread.
        reading: `concurrency` threads.
        concurrency: how many threads the model gains by.
    """

    tokenizing: Executor
    reading: Executor
    concurrency: int


class Stages(Protocol[Draft]):
    """What is done to a table, in three steps."""

    def begin(self, table: pa.Table) -> Draft:
        """Tokenize; in a thread of its own."""
        ...

    def read(self, draft: Draft) -> None:
        """Have the model read it; in other threads."""
        ...

    def end(self, draft: Draft) -> tuple[Kept, Callable[[], pa.Table]]:
        """What was made of the rows, and what makes the output rows of it; in the caller's thread."""
        ...

    def again(self, table: pa.Table, kept: Kept) -> Callable[[], pa.Table] | None:
        """What makes the output rows of what is known of the rows; None where that cannot be of them."""
        ...


def staged_batches(
    stages: Stages[Draft],
    threads: Threads,
    tables: Iterable[pa.Table],
    texts: Texts,
    size: GroupSize,
    known: Callable[[Rows], Kept | None] = lambda rows: None,
) -> Iterator[Batch]:
    """Take rows through three stages, in order, batch by batch.

    Tokenizing and reading go on in threads of their own; taking the tables, the last stage, and what the caller does
    with a batch, in the caller's.

    Args:
        stages: what is done.
        threads: where the first two stages are done.
        tables: the rows.
        texts: which texts of them count for the size of a batch.
        size: of a batch.
        known: what was made of some rows, if it is known; called in this thread, in order.
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
