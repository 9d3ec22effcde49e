"""Verification of rows with candidates: other columns are those of the source, and the statistics match the rows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from hf_toedit.mergeable import Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import RowCheck
from hf_toedit.runs.verify import differing_columns
from hf_toedit.tasks.generate_stats import GenerateStats


class GenerateCheck(RowCheck):
    """Checks the rows of a shard; see `RowCheck`."""

    def __init__(self, column: str, num_candidates: int) -> None:
        """Start with no rows counted.

        Args:
            column: Column of the candidates.
            num_candidates: Number of candidates per row that has any.
        """
        self._column = column
        self._num_candidates = num_candidates
        self._counted = GenerateStats()
        self._num_empty = 0

    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        """See `RowCheck.rows`."""
        lists = table.column(self._column).combine_chunks()
        lengths = pc.list_value_length(lists)
        texts = lists.flatten()
        holes = pc.list_parent_indices(lists).filter(pc.is_null(texts)).to_pylist()
        fine = pc.is_in(lengths, pa.array([0, self._num_candidates], lengths.type)).to_pylist()
        wrong = [*holes[:1], *(row for row, is_fine in enumerate(fine) if not is_fine)]
        if wrong:
            row = first + min(wrong)
            yield f"{pass_.title}: row {row:,} does not have {self._num_candidates:,} candidates, or none."
            return
        self._counted.num_rows += len(table)
        self._counted.num_candidates += len(texts)
        self._counted.num_characters += pc.sum(pc.utf8_length(texts), min_count=0).as_py()
        self._num_empty += len(table) - len(texts) // self._num_candidates
        if source is not None:
            yield from differing_columns(pass_, table, source, first, but=[self._column])

    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        """See `RowCheck.statistics`."""
        assert isinstance(recorded, GenerateStats)
        for name in ("num_rows", "num_candidates", "num_characters"):
            counted = getattr(self._counted, name)
            if getattr(recorded, name) != counted:
                yield (
                    f"{pass_.title}: {name} is {counted:,} by the rows, {getattr(recorded, name):,} by the statistics."
                )
        if (skipped := sum(recorded.num_skipped.values())) != self._num_empty:
            yield (
                f"{pass_.title}: {self._num_empty:,} rows have no candidates, and the statistics count {skipped:,} as "
                f"skipped."
            )
