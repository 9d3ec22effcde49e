"""The task of measuring: count texts, and write only statistics."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from hf_toedit.config import Resources
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.features.text_stats import TextStats
from hf_toedit.rows.rows import GroupSize
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import LoadedTask, RowCheck, Task
from hf_toedit.tasks.without_model import LoadedWithoutModel

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self


TEXTS = Pass("texts", 1, "the measuring", writes_rows=False)

_BATCH = GroupSize(20_000, 16 * 2**20)
"""Batch size: merging the statistics of a batch takes as long as counting a megabyte of text."""


@dataclass(frozen=True)
class MeasureTask(Task):
    """Counts texts: lengths, compression, and hashed n-grams by group of documents.

    Attributes:
        seed: Random seed of the groups; must be equal for all sources that are compared.
    """

    kind = "measure"
    done = "measured"
    statistics = TextStats

    seed: int = 0

    @property
    def is_light(self) -> bool:
        """See `Task.is_light`."""
        return True

    @property
    def passes(self) -> tuple[Pass, ...]:
        """A single pass, which writes no rows; see `Task.passes`."""
        return (TEXTS,)

    def output_features(self, features: Features, texts: Texts) -> Features:
        """Features of the source, as no rows are written; see `Task.output_features`."""
        return features

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`; there is no model."""
        return self, _LoadedMeasure(self.seed)

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`; there are no rows."""
        raise NotImplementedError


class _LoadedMeasure(LoadedWithoutModel):
    """Counts texts."""

    size = _BATCH

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._ngrams = HashedNgrams()

    def counted(self, texts: Texts, table: pa.Table) -> TextStats:
        begun = time.perf_counter()
        stats = TextStats(num_rows=len(table))
        found = [text.text for text in texts.read(table)]
        stats.add([text for text in found if text], self._ngrams, self._seed)
        for text in found:
            if not text:
                stats.add_skipped("null" if text is None else "empty")
        stats.seconds["count"] = time.perf_counter() - begun
        return stats
