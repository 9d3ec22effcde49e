"""Verification of scored rows: other columns are those of the source, and the statistics match the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from hf_toedit.mergeable import Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import RowCheck
from hf_toedit.runs.verify import differing_columns
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.statistics import ScoreStats
from hf_toedit.sources.parquet import same
from hf_toedit.tasks.score_rows import ScoreColumn


class ScoreCheck(RowCheck):
    """Checks the scored rows of a shard; see `RowCheck`."""

    def __init__(self, kind: str, fields: Mapping[str, str], column: str) -> None:
        """Start with no rows counted.

        Args:
            kind: Kind of the scorer.
            fields: Fields of the scorer and their types.
            column: Name of the struct column.
        """
        self._column = ScoreColumn(column, kind, fields)
        self._num_rows = 0
        self._values = {name: Distribution() for name in fields}

    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        """See `RowCheck.rows`."""
        struct = table.column(self._column.name).combine_chunks()
        scores = pc.struct_field(struct, self._column.kind)
        if (nulls := pc.is_null(scores)).true_count:
            row = pc.index(nulls, True).as_py()
            yield f"{pass_.title}: row {first + row:,} has no scores of {self._column.kind!r}."
            return
        self._num_rows += len(table)
        for name, values in self._column.distributions(scores).items():
            self._values[name] += values
        if source is None:
            return
        yield from differing_columns(pass_, table, source, first, but=[self._column.name])
        if self._column.name not in source.column_names:
            return
        earlier = source.column(self._column.name).combine_chunks()
        for number in range(earlier.type.num_fields):
            name = earlier.type.field(number).name
            if not same(
                pa.chunked_array([pc.struct_field(struct, name)]), pa.chunked_array([pc.struct_field(earlier, name)])
            ):
                yield f"{pass_.title}: from row {first:,} on, scores of {name!r} differ from those of the source."

    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        """See `RowCheck.statistics`."""
        assert isinstance(recorded, ScoreStats)
        if recorded.num_rows != self._num_rows:
            yield f"{pass_.title}: num_rows is {self._num_rows:,} by the rows, {recorded.num_rows:,} by the statistics."
        for name, values in self._values.items():
            if recorded.values.get(name, Distribution()) != values:
                yield f"{pass_.title}: the distribution of {name} by the rows is not the one of the statistics."
