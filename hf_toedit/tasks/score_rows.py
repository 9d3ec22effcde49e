"""Scoring of rows, and the column of their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from hf_toedit.editing.alignment import Document
from hf_toedit.rows.rows import EDIT_BATCH
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows
from hf_toedit.runs.pipeline import Threads, staged_batches
from hf_toedit.runs.task import LoadedTask
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.scorer import Prepared, RowScores, Scorer
from hf_toedit.scorers.statistics import ScoreStats


class LoadedScore(LoadedTask):
    """A scorer with its model; see `LoadedTask`."""

    def __init__(self, scorer: Scorer, column: ScoreColumn) -> None:
        """Store the scorer and the column.

        Args:
            scorer: Scores rows.
            column: Column of its scores.
        """
        self.concurrency = scorer.concurrency
        self._scorer = scorer
        self._scores = column
        self._tokenizing = ThreadPoolExecutor(1, "tokenizing")
        self._reading = ThreadPoolExecutor(scorer.concurrency, "scoring")

    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """See `LoadedTask.process`."""
        stages = _Stages(self._scorer, texts, self._scores)
        threads = Threads(self._tokenizing, self._reading, self.concurrency)
        size = EDIT_BATCH._replace(num_bytes=self._scorer.batch_bytes)
        return staged_batches(stages, threads, tables, texts, size, known)

    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        """See `LoadedTask.sample`."""
        prepared = self._scorer.prepare(table, texts)
        return prepared.num_tokens, prepared.documents

    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """See `LoadedTask.read`."""
        list(self._reading.map(self._scorer.read, batches))


@dataclass(frozen=True)
class ScoreColumn:
    """The struct column that scores are written to.

    Attributes:
        name: Name of the column.
        kind: Kind of the scorer, whose field of the struct contains its scores.
        fields: Fields of the scorer and their types.
        is_alone: Whether no other columns are written.
    """

    name: str
    kind: str
    fields: Mapping[str, str]
    is_alone: bool = False

    @cached_property
    def _schema(self) -> pa.Schema:
        """Schema of the fields; cached, because batches may be many and small."""
        from datasets import Features, Value

        return Features({name: Value(dtype) for name, dtype in self.fields.items()}).arrow_schema

    def array(self, rows: Sequence[Mapping[str, Any]]) -> pa.StructArray:
        """Convert the scores of rows to the values of the column."""
        columns = [pa.array([row[field.name] for row in rows], type=field.type) for field in self._schema]
        return pa.StructArray.from_arrays(columns, fields=list(self._schema))

    def with_scores(self, table: pa.Table, scores: pa.StructArray) -> pa.Table:
        """Add scores to rows, next to those of other scorers if there are any."""
        if self.is_alone or self.name not in table.column_names:
            struct = pa.StructArray.from_arrays([scores], names=[self.kind])
            return pa.table({self.name: struct}) if self.is_alone else table.append_column(self.name, struct)
        index = table.column_names.index(self.name)
        there = table.column(index).combine_chunks()
        names = [there.type.field(number).name for number in range(there.type.num_fields)]
        struct = pa.StructArray.from_arrays([*there.flatten(), scores], names=[*names, self.kind])
        return table.set_column(index, self.name, struct)

    def distributions(self, scores: pa.StructArray) -> dict[str, Distribution]:
        """Return the distribution of each field's values in the column."""
        values = zip(self.fields, scores.flatten(), strict=True)
        return {
            name: Distribution.of(array.to_numpy(zero_copy_only=False).astype(np.float64)) for name, array in values
        }


@dataclass
class _Draft:
    """The intermediate state of rows in a scorer."""

    table: pa.Table
    prepared: Prepared
    scored: RowScores | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stages:
    """The stages of scoring a table; see `Stages`."""

    scorer: Scorer
    texts: Texts
    column: ScoreColumn

    def begin(self, table: pa.Table) -> _Draft:
        began = time.perf_counter()
        draft = _Draft(table, self.scorer.prepare(table, self.texts))
        draft.seconds["tokenize"] = time.perf_counter() - began
        return draft

    def read(self, draft: _Draft) -> None:
        began = time.perf_counter()
        draft.scored = self.scorer.score(draft.prepared)
        # That many threads share the model while their time is measured.
        draft.seconds["score"] = (time.perf_counter() - began) / self.scorer.concurrency

    def end(self, draft: _Draft) -> tuple[Kept, Callable[[], pa.Table]]:
        assert draft.scored is not None  # it was read
        scores = self.column.array(draft.scored.rows)
        stats = replace(ScoreStats.of(draft.scored, self.column.fields), seconds=draft.seconds)
        return Kept(draft.scored.rows, stats), partial(self.column.with_scores, draft.table, scores)

    def again(self, table: pa.Table, kept: Kept) -> Callable[[], pa.Table] | None:
        if len(kept.value) != len(table):
            return None
        return partial(self.column.with_scores, table, self.column.array(kept.value))
