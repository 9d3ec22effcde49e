"""Verification: everything that a run wrote is read again and held against its plan, its source and its statistics."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from hf_toedit.config import content_hash
from hf_toedit.errors import reason
from hf_toedit.rows.logs import UnrevertibleRows
from hf_toedit.rows.rows import piece_tables, reverted_table
from hf_toedit.rows.texts import COUNTS, Texts
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.shard import source_rows
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.parquet import same, stored_schema
from hf_toedit.stats import NANO, EditStats
from hf_toedit.storage.files import parquet_file
from hf_toedit.version import __version__

VERIFIED = PurePosixPath("toedit/verified.json")
"""Says of which data it is known that they are sound."""

_NLL_TOLERANCE = 1e-5
"""Relative: rows hold theirs in float32."""


@dataclass
class Verification:
    """What was found.

    Attributes:
        num_shards: shards read, over all generations.
        num_rows: rows read, over all generations.
        problems: what is wrong, and where.
    """

    num_shards: int = 0
    num_rows: int = 0
    problems: list[str] = field(default_factory=list)


def verify_run(
    plan: Plan,
    folder: RunFolder,
    *,
    shards: Sequence[Shard] | None = None,
    with_source: bool = True,
    progress: Callable[[], None] | None = None,
    at_hand: Callable[[Shard], AbstractContextManager[None]] = lambda shard: nullcontext(),
) -> Verification:
    """Read every shard of every generation again.

    Held against the plan: names of files, schema, number and order of rows. Against the source: every column of every
    row, the edits reverted. Against the statistics: the same figures, counted again from the rows.

    Args:
        plan: of the run.
        folder: of the run.
        shards: only these; None is all, and whatever else lies among the data.
        with_source: read the source as well; without it, rows are compared among generations only.
        progress: called after each shard.
        at_hand: sees to it that the data of a shard are in the folder, for as long as the context lasts.

    Raises:
        HubError: it cannot.
    """
    found = Verification()
    if shards is None:
        found.problems += [f"{name} is not of this run. Delete it." for name in folder.strays(plan)]
    for shard in plan.shards if shards is None else shards:
        with at_hand(shard):
            try:
                problems = _ShardCheck(plan, folder, shard, with_source).problems(found)
            except Exception as error:  # rows may come from anyone, and hold anything
                problems = [reason(error)]
        found.problems += [f"{shard.name}: {problem}" for problem in problems]
        if progress:
            progress()
    return found


def mark_verified(plan: Plan, folder: RunFolder, *, with_source: bool) -> None:
    """Write down that a run was verified and found sound, so that it need not be read again to be pushed.

    Args:
        plan: of the run.
        folder: of the run.
        with_source: its source was read as well.

    Raises:
        RunError: the folder cannot be written.
    """
    mark = {"data": _data_digest(plan, folder), "with_source": with_source, "version": __version__}
    folder.update_bytes(VERIFIED, (json.dumps(mark, indent=2) + "\n").encode())


def is_verified(plan: Plan, folder: RunFolder) -> bool:
    """Whether a run was verified, and none of its data written anew since."""
    try:
        mark = json.loads((folder.root / VERIFIED).read_text(encoding="utf-8"))
        return bool(mark["data"] == _data_digest(plan, folder))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _data_digest(plan: Plan, folder: RunFolder) -> str:
    """Of the SHA-256 of every file of data, as noted when it was written, and of the plan."""
    data: dict[str, str | None] = {}
    for generation in plan.generations:
        data |= {f"gen{generation}/{shard.name}": None for shard in plan.shards}
        for record in folder.records(generation, plan.shards):
            data[f"gen{generation}/{record.shard.name}"] = record.values["sha256"]
    return content_hash({"plan": plan.content_hash, "data": data})


class _ShardCheck:
    """Reads one shard in all generations side by side."""

    def __init__(self, plan: Plan, folder: RunFolder, shard: Shard, with_source: bool) -> None:
        self._plan = plan
        self._folder = folder
        self._shard = shard
        self._with_source = with_source
        self._texts = Texts(plan.source)
        self._log_column = plan.run.edit_log_column
        self._counted = {generation: EditStats() for generation in plan.generations}

    def problems(self, found: Verification) -> list[str]:
        """What is wrong with it, the first of each kind."""
        broken = [problem for generation in self._plan.generations for problem in self._file_problems(generation)]
        if broken:
            return broken
        wrong = list(self._row_problems(found))[:1]
        found.num_shards += len(self._plan.generations)
        return wrong or [p for generation in self._plan.generations for p in self._stats_problems(generation)]

    def _file_problems(self, generation: int) -> Iterator[str]:
        path = self._folder.relative(self._folder.data_path(generation, self._shard))
        stats = self._folder.stats(self._plan, generation, self._shard)
        if stats is None:
            yield f"generation {generation} is not done, or {path} or its statistics were changed afterwards."
            return
        if not self._folder.is_sound(generation, self._shard):
            yield f"{path} is damaged: its bytes are not those that were written. Delete it."
            return
        with parquet_file(self._folder.data_path(generation, self._shard)) as file:
            if stored_schema(file.schema_arrow) != stored_schema(self._plan.output_schema):
                yield f"{path} has another schema than was planned."
            if file.metadata.num_rows != stats.num_rows:
                yield f"{path} has {file.metadata.num_rows:,} rows; its statistics say {stats.num_rows:,}."
        if self._shard.num_rows not in (None, stats.num_rows):
            yield f"{path} has {stats.num_rows:,} rows; planned were {self._shard.num_rows:,}."

    def _row_problems(self, found: Verification) -> Iterator[str]:
        generations = [_Rows(self._folder.tables(self._plan, number, self._shard)) for number in self._plan.generations]
        source = _Rows(source_rows(self._plan, self._shard)) if self._with_source else None
        first = 0
        while True:
            at_hand = {rows.at_hand() for rows in (source, *generations) if rows}
            if 0 in at_hand:
                if len(at_hand) > 1:
                    yield f"after row {first:,}, source and generations have different numbers of rows."
                return
            portion = min(at_hand)
            before = source.take(portion) if source else None
            tables = [rows.take(portion) for rows in generations]
            for number, table in enumerate(tables, start=1):
                wrong = list(self._compare(number, table, before, first))
                yield from wrong
                previous = before if number == 1 else tables[number - 2]
                if not wrong:
                    self._count(self._counted[number], table, previous)
            found.num_rows += portion * len(tables)
            first += portion

    def _compare(self, generation: int, table: pa.Table, source: pa.Table | None, first: int) -> Iterator[str]:
        """Hold rows against their source rows; without a log, only the columns that are not edited."""
        if self._log_column is not None:
            logs = table.column(self._log_column)
            try:
                table = reverted_table(table, self._texts, self._log_column)
            except UnrevertibleRows as error:
                row, why = next(iter(error.reasons.items()))
                yield f"generation {generation}: row {first + row:,} cannot be reverted: {why}."
                return
            for name in COUNTS:
                counts = pc.struct_field(logs, name)
                if counts.null_count:
                    row = pc.index(pc.is_null(counts), True).as_py()
                    yield f"generation {generation}: the edit log of row {first + row:,} has no {name}."
        if source is None:
            return
        edited = self._texts.columns(source.column_names) if self._log_column is None else []
        for name in source.column_names:
            if name not in edited and not same(table.column(name), source.column(name)):
                row = next(i for i in range(len(source)) if not same(table[name][i : i + 1], source[name][i : i + 1]))
                yield f"generation {generation}: row {first + row:,} differs from its source in column {name!r}."

    def _count(self, stats: EditStats, table: pa.Table, previous: pa.Table | None) -> None:
        stats.num_rows += len(table)
        texts = self._read(table)
        stats.num_documents += len(texts)
        if previous is not None:
            stats.num_rows_changed += len({row for row, _, _ in self._read(previous) - texts})
        if self._log_column is None:
            return
        for log in table.column(self._log_column).to_pylist():
            for name in COUNTS:
                setattr(stats, name, getattr(stats, name) + log[name])
            stats.nll_nano += round((log["nll"] or 0) * log["num_tokens"] / NANO)
        for entry in piece_tables(table, self._texts, self._log_column):
            if entry is not None:
                stats.num_characters += entry.num_source
                stats.num_characters_standing += entry.num_standing

    def _read(self, table: pa.Table) -> set[tuple[int, str, str | None]]:
        return {(text.row, text.label, text.text) for text in self._texts.read(table)}

    def _stats_problems(self, generation: int) -> Iterator[str]:
        recorded = self._folder.stats(self._plan, generation, self._shard) or EditStats()
        counted = self._counted[generation]
        names = ["num_rows", "num_documents"]
        if self._with_source or generation > 1:
            names.append("num_rows_changed")
        if self._log_column is not None:
            names += [*COUNTS, "num_characters", "num_characters_standing"]
            # Rows do not tell how many of their tokens have a probability: all of them, where the prior has a BOS.
            if recorded.num_scored == recorded.num_tokens and not math.isclose(
                recorded.nll_nano, counted.nll_nano, rel_tol=_NLL_TOLERANCE
            ):
                yield f"generation {generation}: nll is {counted.nll_nano * NANO:g} by the rows, not as recorded."
        for name in names:
            if getattr(recorded, name) != getattr(counted, name):
                yield (
                    f"generation {generation}: {name} is {getattr(counted, name):,} by the rows, "
                    f"{getattr(recorded, name):,} by the statistics."
                )


class _Rows:
    """Rows of tables of any length, taken in portions that do not exceed a table."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest = pa.table({})

    def at_hand(self) -> int:
        """How many rows can be taken at once; 0 at the end."""
        while not len(self._rest) and (following := next(self._tables, None)) is not None:
            self._rest = following
        return len(self._rest)

    def take(self, count: int) -> pa.Table:
        """The next `count` rows, of those at hand."""
        taken, self._rest = self._rest.slice(0, count), self._rest.slice(count)
        return taken
