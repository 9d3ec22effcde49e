"""Random access to the rows of a run: texts, edits, and search for the next row with many edits. No Gradio."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.result import VERIFIED_COUNTS
from hf_toedit.errors import RunError
from hf_toedit.rows.logs import UnrevertibleRows, named_rows, unrevertible
from hf_toedit.rows.rows import piece_tables
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.parquet import as_loaded
from hf_toedit.space.groups import GroupReader, damaged, guarded
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import edit_of
from hf_toedit.threads import in_threads

GROUPS_SEARCHED = 32
"""Number of row groups searched per request if each must be downloaded; many more on this machine."""

_GROUPS_SEARCHED_HERE = 1000
_SHARDS_COUNTED = 256
"""Maximum number of shards opened to count their rows, if neither plan nor records contain the count."""

_GENERATIONS_COMPARED = 20
_THREADS = 16


class RowText(NamedTuple):
    """One text of a row.

    Attributes:
        label: Its path in the row; None if each row has exactly one text.
        table: The current text, and its differences from the source; None if there is no text.
    """

    label: str | None
    table: PieceTable | None


class Row(NamedTuple):
    """A row as one generation left it.

    Attributes:
        generation: The generation.
        split: Split of the row.
        number: Index of the row in the split, from 0.
        texts: The texts to edit.
        sources: Their sources, rebuilt from the edit log of this generation alone.
        counts: Counts of the edit log, over its texts; empty without a log.
    """

    generation: int
    split: str
    number: int
    texts: tuple[RowText, ...]
    sources: tuple[str | None, ...]
    counts: Mapping[str, int]

    @property
    def num_edits(self) -> int:
        """Number of places that differ from the source."""
        return sum(len(text.table.edits) for text in self.texts if text.table)


class Match(NamedTuple):
    """The result of a search.

    Attributes:
        number: Index of the row; None if no searched row matches.
        num_rows: Number of rows searched.
        last: Row from which to continue the search.
        at_end: Whether no rows are left in that direction.
    """

    number: int | None
    num_rows: int
    last: int
    at_end: bool


class _Extent(NamedTuple):
    """Rows `[first, stop)` of a split, all in one shard."""

    shard: Shard
    first: int
    stop: int


class RunRows:
    """The rows of a run; thread-safe.

    The index of a row counts all rows before it, including those of unfinished shards as counted by planning, so it is
    the same in every generation.

    Attributes:
        has_log: Whether the rows have an edit log.
        generations: Generations with at least one finished shard.
        is_cut: Whether the last rows are left out, because counting them would open too many files.
    """

    def __init__(
        self, plan: Plan, folder: RunFolder, stats: list[dict[str, EditStats]] | None, *, is_here: bool
    ) -> None:
        """Count the rows, and read nothing else.

        Args:
            plan: The run's plan.
            folder: The run folder, whose data may be elsewhere.
            stats: Statistics of the finished shards of each generation, by name; None to treat shards with data as
                finished.
            is_here: Whether the data is on this machine.

        Raises:
            RunError: No shard is finished, or the plan or the statistics are not from this tool.
            HubError: The Hub does not answer.
        """
        self._plan = plan
        self._groups_searched = _GROUPS_SEARCHED_HERE if is_here else GROUPS_SEARCHED
        self._texts = Texts(replace(plan.source, context_columns=()))
        task = edit_of(plan)
        self._log = task.run.edit_log_column or ""
        self._files = GroupReader(folder)
        self.has_log = bool(self._log)
        self._columns = [*self._texts.columns(plan.reading.features), *([self._log] if self._log else [])]
        if stats is None:
            found = [folder.data_sizes(pass_) for pass_ in plan.data_passes]
            self._done = [{shard.name for shard in plan.shards if f"{shard.name}.parquet" in sizes} for sizes in found]
        else:
            self._done = [set(parts) for parts in stats]
        self.generations = [number for number, done in zip(task.generations, self._done, strict=True) if done]
        if not self.generations:
            raise RunError("no shard of this run is done yet, so there are no rows to show. Try again later.")
        counts = {name: entry.num_rows for parts in stats or () for name, entry in parts.items()}
        self._extents, self.is_cut = self._counted(counts)

    @property
    def splits(self) -> list[str]:
        """Names of the splits that have rows."""
        return [split for split, extents in self._extents.items() if extents[-1].stop]

    def num_rows(self, split: str) -> int:
        """Return the number of rows of a split, including unfinished ones."""
        return self._extents[split][-1].stop

    def row(self, generation: int, split: str, number: int) -> Row:
        """Read one row.

        Raises:
            RunError: There is no such row, it is not finished in that generation, or its file is damaged.
            HubError: The Hub does not answer.
        """
        if not 0 <= number < self.num_rows(split):
            raise RunError(f"there is no row {number:,}: {split!r} has rows 0 to {self.num_rows(split) - 1:,}.")
        extents = self._extents[split]
        extent = extents[bisect_right(extents, number, key=lambda extent: extent.stop)]
        if extent.shard.name not in self._done[generation - 1]:
            raise RunError(
                f"row {number:,} of {split!r} is not done in generation {generation}: its shard, {extent.shard.name}, "
                f"is not finished. Choose another row, or another generation."
            )
        group, first, _ = next(span for span in self._groups(generation, extent) if number < span[2])
        table = self._files.rows(generation, extent.shard, group, self._columns).slice(number - first, 1)
        return guarded(generation, extent.shard, lambda: self._row(table, generation, split, number))

    def differing(self, row: Row) -> tuple[list[int], list[int]]:
        """Compare a row's source with the sources that the edit logs of other generations give.

        Returns:
            The generations compared, and those whose log gives another source.

        Raises:
            RunError: A file is damaged.
            HubError: The Hub does not answer.
        """
        others = [number for number in self.generations if number != row.generation]
        looked: list[int] = []
        for number in others[:_GENERATIONS_COMPARED]:
            if self.is_done(number, row.split, row.number):
                looked.append(number)
        found = [number for number in looked if self.row(number, row.split, row.number).sources != row.sources]
        return looked, found

    def is_done(self, generation: int, split: str, number: int) -> bool:
        """Whether a row is finished in a generation."""
        extents = self._extents[split]
        index = bisect_right(extents, number, key=lambda extent: extent.stop)
        return index < len(extents) and extents[index].shard.name in self._done[generation - 1]

    def beside(self, generation: int, split: str, number: int, step: int) -> int | None:
        """Return the nearest finished row after (`step` 1) or before (-1) a row in a generation, or None."""
        extent = next(self._beyond(generation, split, number, step), None)
        if extent is None:
            return None
        return max(number + 1, extent.first) if step > 0 else min(number - 1, extent.stop - 1)

    def search(
        self,
        generation: int,
        split: str,
        number: int,
        step: int,
        least: float,
        most: float,
        num_groups: int | None = None,
    ) -> Match:
        """Find the nearest row whose share of tokens changed by a generation is within bounds.

        Searches a bounded number of row groups, and reads two numeric columns of each.

        Args:
            generation: Generation to search.
            split: Split to search.
            number: Row after or before which to start.
            step: 1 for after, -1 for before.
            least: Minimum share of the tokens that this generation read, inclusive.
            most: Maximum share, inclusive.
            num_groups: Maximum number of row groups to search; None for as many as a waiting visitor allows.

        Raises:
            RunError: There is no edit log, or a file is damaged.
            HubError: The Hub does not answer.
        """
        if not self.has_log:
            raise RunError("this run has no edit log, so changes cannot be shown.")
        groups = (
            (extent.shard, *span)
            for extent in self._beyond(generation, split, number, step)
            for span in self._groups(generation, extent)[::step]
            if (span[2] - 1 > number if step > 0 else span[1] < number)
        )
        looked, last = 0, number
        for shard, group, first, stop in islice(groups, num_groups or self._groups_searched):
            shares = self._files.shares(generation, shard, group, self._log)
            low, high = (max(first, number + 1), stop) if step > 0 else (first, min(stop, number))
            inside = shares[low - first : high - first]
            hits = np.flatnonzero((inside >= least) & (inside <= most))
            if len(hits):
                found = low + int(hits[0] if step > 0 else hits[-1])
                return Match(found, looked + (found - low + 1 if step > 0 else high - found), found, False)
            looked, last = looked + len(inside), (high - 1 if step > 0 else low)
        return Match(None, looked, last, self.beside(generation, split, last, step) is None)

    def _counted(self, counts: Mapping[str, int]) -> tuple[dict[str, list[_Extent]], bool]:
        """Return which rows are in which shard, by split, and whether some were left out."""
        there = set().union(*self._done)
        known = {shard.name: counts.get(shard.name, shard.num_rows) for shard in self._plan.shards}
        if not all(count is None or (isinstance(count, int) and count >= 0) for count in known.values()):
            raise RunError("the plan of this run, or its statistics, do not state the number of rows.")
        unknown = [shard for shard in self._plan.shards if known[shard.name] is None and shard.name in there]

        def count(shard: Shard) -> None:
            generation = next(number for number in self.generations if shard.name in self._done[number - 1])
            known[shard.name] = sum(self._files.group_sizes(generation, shard).tolist())

        in_threads(count, unknown[:_SHARDS_COUNTED], min(_THREADS, len(unknown)))
        left_out = {shard.name for shard in unknown[_SHARDS_COUNTED:]}
        extents: dict[str, list[_Extent]] = {}
        cut = set()
        for shard in self._plan.shards:
            own = extents.setdefault(shard.split, [])
            if shard.name in left_out:
                cut.add(shard.split)
            if shard.split not in cut:
                first = own[-1].stop if own else 0
                own.append(_Extent(shard, first, first + (known[shard.name] or 0)))
        return {split: own for split, own in extents.items() if own}, bool(cut)

    def _beyond(self, generation: int, split: str, number: int, step: int) -> Iterator[_Extent]:
        """Yield the extents with rows beyond one, nearest first, if finished in a generation."""
        extents = self._extents[split]
        start = bisect_right(extents, number + 1 if step > 0 else number - 1, key=lambda extent: extent.stop)
        for index in range(start, len(extents)) if step > 0 else range(min(start, len(extents) - 1), -1, -1):
            extent = extents[index]
            if extent.shard.name in self._done[generation - 1] and extent.first < extent.stop:
                if step > 0 or extent.first < number:
                    yield extent

    def _groups(self, generation: int, extent: _Extent) -> list[tuple[int, int, int]]:
        """Return the row groups of a shard: index, first row in the split, and the row after the last."""
        stops = extent.first + np.cumsum(self._files.group_sizes(generation, extent.shard))
        if extent.stop != (stops[-1] if len(stops) else extent.first):
            raise damaged(generation, extent.shard, "it does not hold as many rows as it should.")
        firsts = [extent.first, *stops.tolist()]
        return list(zip(range(len(stops)), firsts, stops.tolist(), strict=False))

    def _row(self, table: pa.Table, generation: int, split: str, number: int) -> Row:
        """Build a row from a table of one row."""
        table = as_loaded(table.select(self._columns), self._plan.schema_of(self._columns))
        try:
            tables = piece_tables(table, self._texts, self._log)
        except UnrevertibleRows as error:
            raise RunError(unrevertible(1, named_rows({number: error.reasons[0]}, split))) from error
        labels = [None if self._texts.one_a_row else text.label for text in self._texts.read(table)]
        log = table.column(self._log)[0].as_py() if self.has_log else None
        return Row(
            generation=generation,
            split=split,
            number=number,
            texts=tuple(map(RowText, labels, tables)),
            sources=tuple(None if entry is None else entry.revert() for entry in tables),
            counts={name: log[name] or 0 for name in VERIFIED_COUNTS if name in log} if log else {},
        )
