"""Verification of edited rows: their logs restore the source, and the statistics match the rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from hf_toedit.editing.result import COUNTS
from hf_toedit.mergeable import Statistics
from hf_toedit.rows.flat import flat_present, flat_values
from hf_toedit.rows.logs import UnrevertibleRows
from hf_toedit.rows.rows import piece_tables, reverted_table
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import RowCheck
from hf_toedit.runs.verify import differing_columns
from hf_toedit.sources.parquet import same
from hf_toedit.stats import NANO, EditStats

_NLL_TOLERANCE = 1e-5
"""Relative tolerance: rows store their NLL in float32."""


class EditCheck(RowCheck):
    """Checks the edited rows of a shard; see `RowCheck`."""

    def __init__(self, texts: Texts, log_column: str | None, counts: Sequence[str] = COUNTS) -> None:
        """Start with no rows counted.

        Args:
            texts: Selects the edited texts of a row.
            log_column: Column of the edit log; None if there is none.
            counts: Counts in a log; see `log_counts`.
        """
        self._texts = texts
        self._log_column = log_column
        self._counts = counts
        self._counted: defaultdict[str, EditStats] = defaultdict(EditStats)
        self._knows_changes: dict[str, bool] = {}

    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        """Compare rows with their source rows; without a log, only columns that are not edited are compared."""
        wrong = False
        for problem in self._problems(pass_, table, source, first):
            wrong = True
            yield problem
        if not wrong:
            self._count(self._counted[pass_.name], table, before)
            self._knows_changes[pass_.name] = before is not None

    def _problems(self, pass_: Pass, table: pa.Table, source: pa.Table | None, first: int) -> Iterator[str]:
        if self._log_column is not None:
            logs = table.column(self._log_column)
            flat = {name: table.column(name) for name in flat_present(table.column_names, self._log_column)}
            try:
                table = reverted_table(table, self._texts, self._log_column)
            except UnrevertibleRows as error:
                row, why = next(iter(error.reasons.items()))
                yield f"{pass_.title}: row {first + row:,} cannot be reverted: {why}."
                return
            for name in self._counts:
                counts = pc.struct_field(logs, name)
                if counts.null_count:
                    row = pc.index(pc.is_null(counts), True).as_py()
                    yield f"{pass_.title}: the edit log of row {first + row:,} has no {name}."
            for name, values in flat_values(logs, self._log_column).items() if flat else ():
                if name in flat and not same(flat[name], values):
                    yield f"{pass_.title}: column {name!r} does not match the edit log."
        if source is None:
            return
        edited = self._texts.columns(source.column_names) if self._log_column is None else []
        yield from differing_columns(pass_, table, source, first, but=edited)

    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        """See `RowCheck.statistics`."""
        assert isinstance(recorded, EditStats)
        counted = self._counted[pass_.name]
        names = ["num_rows", "num_documents"]
        if self._knows_changes.get(pass_.name, pass_.before is not None):
            names.append("num_rows_changed")
        if self._log_column is not None:
            names += [*self._counts, "num_characters", "num_characters_unchanged"]
            # Rows do not record how many of their tokens have a probability. It is all of them if the prior has a BOS
            # token.
            if recorded.num_scored == recorded.num_tokens and not math.isclose(
                recorded.nll_nano, counted.nll_nano, rel_tol=_NLL_TOLERANCE
            ):
                yield f"{pass_.title}: nll is {counted.nll_nano * NANO:g} by the rows, not as recorded."
        for name in names:
            if getattr(recorded, name) != getattr(counted, name):
                yield (
                    f"{pass_.title}: {name} is {getattr(counted, name):,} by the rows, "
                    f"{getattr(recorded, name):,} by the statistics."
                )

    def _count(self, stats: EditStats, table: pa.Table, previous: pa.Table | None) -> None:
        stats.num_rows += len(table)
        texts = self._read(table)
        stats.num_documents += len(texts)
        if previous is not None:
            stats.num_rows_changed += len({row for row, _, _ in self._read(previous) - texts})
        if self._log_column is None:
            return
        for log in table.column(self._log_column).to_pylist():
            for name in self._counts:
                setattr(stats, name, getattr(stats, name) + log[name])
            stats.nll_nano += round((log["nll"] or 0) * log["num_tokens"] / NANO)
        for entry in piece_tables(table, self._texts, self._log_column):
            if entry is not None:
                stats.num_characters += entry.num_source
                stats.num_characters_unchanged += entry.num_unchanged

    def _read(self, table: pa.Table) -> set[tuple[int, str, str | None]]:
        return {(text.row, text.label, text.text) for text in self._texts.read(table)}
