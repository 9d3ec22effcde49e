"""Generation of candidates for rows, and their column."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice

import numpy as np
import pyarrow as pa

from hf_toedit.editing.alignment import ELIGIBLE, Document
from hf_toedit.generation.generator import Continuation, Generator, Prompt
from hf_toedit.rows.rows import EDIT_BATCH
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows
from hf_toedit.runs.pipeline import Threads, staged_batches
from hf_toedit.runs.task import LoadedTask
from hf_toedit.tasks.generate_prompts import Prompts
from hf_toedit.tasks.generate_stats import GenerateStats

_TIMED_TOKENS = 8
"""Minimum number of timed new tokens per candidate: with fewer, reading the prompts would dominate the time."""


class LoadedGenerate(LoadedTask):
    """A generator with its model; see `LoadedTask`."""

    def __init__(self, generator: Generator, column: str) -> None:
        """Store the generator and the column.

        Args:
            generator: Generates candidates.
            column: Column of the candidates.
        """
        self._generator = generator
        self._column = column
        self._tokenizing = ThreadPoolExecutor(1, "tokenizing")
        self._generating = ThreadPoolExecutor(1, "generating")

    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """See `LoadedTask.process`."""
        stages = _Stages(self._generator, texts, self._column)
        threads = Threads(self._tokenizing, self._generating, self.concurrency)
        size = EDIT_BATCH._replace(rows=self._generator.batch_rows)
        return staged_batches(stages, threads, tables, texts, size, known)

    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        """Return the tokens per row if every candidate has its maximum length, and a document of them per row."""
        prompts = Prompts.of(table, texts, self._generator).rows
        documents = [self._document(prompt) if isinstance(prompt, Prompt) else None for prompt in prompts]
        num_tokens = [0 if document is None else len(document) for document in documents]
        return np.array(num_tokens, np.int64), [document for document in documents if document is not None]

    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """Read as many prompt tokens, and generate as many new tokens, as the documents contain; in batched rows.

        Each generated token costs a forward pass, a prompt token almost nothing, so both numbers must be as in a run.
        """
        documents = [document for batch in batches for document in batch]
        each = self._generator.config.num_candidates
        num_new = sum(int(document.starts.sum()) for document in documents)
        num_read = sum(map(len, documents)) - num_new
        num_rows = max(min(self._generator.batch_rows, num_new // (each * _TIMED_TOKENS)), 1)
        ids = [token for document in documents for token in document.ids.tolist()]
        length = max(num_read // num_rows, 1)
        prompts = [Prompt(list(islice(cycle(ids), length)), str(row)) for row in range(num_rows)]
        self._generator.generate(prompts, max(num_new // (each * num_rows), 1))

    def _document(self, prompt: Prompt) -> Document:
        """Return a document with prompt tokens and new tokens (`starts` is 1), mixed evenly throughout."""
        num_new = self._generator.config.num_candidates * self._generator.room(prompt)
        total = len(prompt.ids) + num_new
        is_new = np.diff(np.arange(total + 1) * num_new // total).astype(np.int32)
        ids = np.resize(np.array(prompt.ids, np.int32), total)
        return Document(prompt.key, ids, is_new, is_new, np.full(total, ELIGIBLE, np.uint8))


@dataclass
class _Draft:
    """The intermediate state of rows in a generator."""

    table: pa.Table
    prompts: Prompts
    made: list[list[Continuation]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stages:
    """The stages of generating candidates for a table; see `Stages`."""

    generator: Generator
    texts: Texts
    column: str

    def begin(self, table: pa.Table) -> _Draft:
        began = time.perf_counter()
        draft = _Draft(table, Prompts.of(table, self.texts, self.generator))
        draft.seconds["tokenize"] = time.perf_counter() - began
        return draft

    def read(self, draft: _Draft) -> None:
        began = time.perf_counter()
        draft.made = self.generator.generate(draft.prompts.found)
        draft.seconds["generate"] = time.perf_counter() - began

    def end(self, draft: _Draft) -> tuple[Kept, Callable[[], pa.Table]]:
        stats = GenerateStats(num_rows=len(draft.table), num_chats=draft.prompts.num_chats, seconds=draft.seconds)
        for refusal in draft.prompts.refusals:
            stats.add_skip_reason("template_failed", refusal)
        rows: list[list[str]] = []
        made = iter(draft.made)
        for prompt in draft.prompts.rows:
            if isinstance(prompt, str):
                stats.add_skipped(prompt)
                rows.append([])
                continue
            continuations = next(made)
            candidates = [self.generator.text(prompt, one) for one in continuations]
            stats.add(prompt, continuations, candidates)
            rows.append(candidates)
        return Kept(rows, stats), partial(self._with_candidates, draft.table, rows)

    def again(self, table: pa.Table, kept: Kept) -> Callable[[], pa.Table] | None:
        return partial(self._with_candidates, table, kept.value) if len(kept.value) == len(table) else None

    def _with_candidates(self, table: pa.Table, rows: list[list[str]]) -> pa.Table:
        return table.append_column(self.column, pa.array(rows, pa.list_(pa.string())))
