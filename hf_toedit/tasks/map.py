"""The simplest task, as a base for custom tasks: tables in, tables out, without a model."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hf_toedit.config import Resources
from hf_toedit.mergeable import Count, Statistics
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import LoadedTask, RowCheck, Task
from hf_toedit.runs.verify import differing_columns
from hf_toedit.sources.parquet import as_loaded
from hf_toedit.tasks.without_model import LoadedWithoutModel

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self


@dataclass
class MapStats(Statistics):
    """Counts of rows that a `MapTask` has made; see `Statistics`."""

    num_rows: Count = 0
    num_documents: Count = 0
    num_skipped: dict[str, Count] = field(default_factory=Counter)
    skip_reasons: dict[str, str] = field(default_factory=dict)
    num_tokens: Count = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """See `Statistics`."""
        return f"{self.num_rows:,} row{'' if self.num_rows == 1 else 's'}"

    def summary(self) -> dict[str, Any]:
        """See `Statistics`."""
        return {"num_rows": self.num_rows}


@dataclass(frozen=True)
class MapTask(Task):
    """Makes rows from rows with a function, table by table.

    A subclass is a frozen dataclass of JSON-compatible settings, defines `kind` and `done`, and is an entry point of
    the group `hf_toedit.tasks` (docs/extending.md).
    """

    statistics = MapStats

    @abstractmethod
    def features(self, features: Features) -> Mapping[str, Any]:
        """Return the features of the output rows, given those of the source."""

    @abstractmethod
    def map(self, table: pa.Table) -> pa.Table:
        """Make output rows, as many as the table has; each must depend only on its own input row."""

    @property
    def passes(self) -> tuple[Pass, ...]:
        """A single pass, named after the task."""
        return (Pass(self.kind, 1, self.kind),)

    def output_features(self, features: Features, texts: Texts) -> Features:
        """See `Task.output_features`."""
        return type(features)(self.features(features))

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`; there is no model."""
        return self, _LoadedMap(self)

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """Make the rows again and compare them; see `Task.row_check`."""
        return _MapCheck(self, self.output_features(features, texts).arrow_schema)


class ChosenRowsTask(MapTask):
    """Writes rows that the plan selects one by one, unchanged; the selection is made before."""

    chooses_rows = True

    @property
    def is_light(self) -> bool:
        """See `Task.is_light`."""
        return True

    def features(self, features: Features) -> Mapping[str, Any]:
        """See `MapTask.features`; the features of the source."""
        return features

    def map(self, table: pa.Table) -> pa.Table:
        """See `MapTask.map`."""
        return table


class _LoadedMap(LoadedWithoutModel):
    """Makes the output rows."""

    def __init__(self, task: MapTask) -> None:
        self._task = task

    def counted(self, texts: Texts, table: pa.Table) -> MapStats:
        return MapStats(num_rows=len(table), num_documents=len(table))

    def made(self, table: pa.Table) -> pa.Table:
        return self._task.map(table)


class _MapCheck(RowCheck):
    def __init__(self, task: MapTask, schema: pa.Schema) -> None:
        self._task = task
        self._schema = schema
        self._num_rows = 0

    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        self._num_rows += len(table)
        if source is not None:
            yield from differing_columns(pass_, table, as_loaded(self._task.map(source), self._schema), first)

    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        if recorded.num_rows != self._num_rows:
            yield f"{pass_.title}: num_rows is {self._num_rows:,} by the rows, {recorded.num_rows:,} by the statistics."
