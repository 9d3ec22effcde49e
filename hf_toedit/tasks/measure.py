"""The task of measuring: texts are counted, and nothing is written but statistics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hf_toedit.checked import from_json
from hf_toedit.config import Resources
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.features.text_stats import TextStats
from hf_toedit.rows.rows import GroupSize, grouped
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows
from hf_toedit.runs.task import LoadedTask, RowCheck, Task

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.editing.alignment import Document

TEXTS = Pass("texts", 1, "the measuring", writes_rows=False)

_BATCH = GroupSize(20_000, 16 * 2**20)
"""Counted at a time: the statistics of a batch take as long to merge as a megabyte of text to count."""


@dataclass(frozen=True)
class MeasureTask(Task):
    """Texts are counted: lengths, compression, and hashed n-grams by group of documents.

    Attributes:
        seed: of the groups; the same for all that is compared.
    """

    kind = "measure"
    done = "measured"
    statistics = TextStats

    seed: int = 0

    @property
    def passes(self) -> tuple[Pass, ...]:
        """One, which writes no rows; see `Task.passes`."""
        return (TEXTS,)

    def facts(self) -> dict[str, Any]:
        """See `Task.facts`."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], path: str = "") -> Self:
        """See `Task.from_facts`."""
        return from_json(dict(facts), cls, path, complete=True)

    def output_features(self, features: Features, texts: Texts) -> Features:
        """Of rows that nobody writes: the source's; see `Task.output_features`."""
        return features

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`; there is no model."""
        return self, _LoadedMeasure(self.seed)

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`; there are no rows."""
        raise NotImplementedError


class _LoadedMeasure(LoadedTask):
    """Counts texts; see `LoadedTask`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ngrams = HashedNgrams()

    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        first = 0
        for table in grouped(tables, texts, _BATCH):
            rows = first, len(table)
            kept = known(rows)
            yield Batch(rows, kept or Kept(None, self._counted(texts, table)), kept is not None, pa.table)
            first += len(table)

    def _counted(self, texts: Texts, table: pa.Table) -> TextStats:
        begun = time.perf_counter()
        stats = TextStats(num_rows=len(table))
        found = [text.text for text in texts.read(table)]
        stats.add([text for text in found if text], self._ngrams, self._seed)
        for text in found:
            if not text:
                stats.add_skipped("null" if text is None else "empty")
        stats.seconds["count"] = time.perf_counter() - begun
        return stats

    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        return np.zeros(len(table), np.int64), []

    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """There is no model."""
