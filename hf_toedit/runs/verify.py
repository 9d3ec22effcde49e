"""Verification: re-read all output of a run and compare it with the plan, the source and the statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa

from hf_toedit.config import content_hash
from hf_toedit.errors import reason
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.shard import source_rows
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.parquet import same, stored_schema
from hf_toedit.storage.files import parquet_file
from hf_toedit.version import __version__

VERIFIED = PurePosixPath("toedit/verified.json")
"""File that records which data were verified."""


@dataclass
class Verification:
    """Result of a verification.

    Attributes:
        num_shards: Shards read, over all passes that write rows.
        num_rows: Rows read, over the same passes.
        problems: Problems and their places.
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
    """Re-read every shard of every pass that writes rows.

    Compared with the plan: names of files, schema, number and order of rows. Compared with the source: every column of
    every row, as defined by the task. Compared with the statistics: the same figures, recounted from the rows.

    Args:
        plan: The run's plan.
        folder: The run folder.
        shards: Shards to verify; None verifies all, and also reports files that do not belong to the run.
        with_source: Whether to read the source as well; without it, rows are only compared between passes.
        progress: Callback; called after each shard.
        at_hand: Context manager that makes the data of a shard available in the folder.

    Raises:
        HubError: The data cannot be made available.
    """
    found = Verification()
    if shards is None:
        found.problems += [f"{name} is not of this run. Delete it." for name in folder.strays(plan)]
    for shard in plan.shards if shards is None else shards:
        with at_hand(shard):
            try:
                problems = _ShardCheck(plan, folder, shard, with_source).problems(found)
            except Exception as error:  # rows are untrusted, and can hold anything
                problems = [reason(error)]
        found.problems += [f"{shard.name}: {problem}" for problem in problems]
        if progress:
            progress()
    return found


def mark_verified(plan: Plan, folder: RunFolder, *, with_source: bool) -> None:
    """Record that a run was verified and sound, so that a push need not read it again.

    Args:
        plan: The run's plan.
        folder: The run folder.
        with_source: Whether the source was read as well.

    Raises:
        RunError: The folder cannot be written.
    """
    mark = {"data": _data_digest(plan, folder), "with_source": with_source, "version": __version__}
    folder.update_bytes(VERIFIED, (json.dumps(mark, indent=2) + "\n").encode())


def is_verified(plan: Plan, folder: RunFolder) -> bool:
    """Whether a run was verified, and none of its data rewritten since."""
    try:
        mark = json.loads((folder.root / VERIFIED).read_text(encoding="utf-8"))
        return bool(mark["data"] == _data_digest(plan, folder))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _data_digest(plan: Plan, folder: RunFolder) -> str:
    """Hash the plan and the SHA-256 of every data file, as recorded when it was written."""
    data: dict[str, str | None] = {}
    for pass_ in plan.data_passes:
        data |= {f"{pass_.name}/{shard.name}": None for shard in plan.shards}
        for record in folder.records(pass_, plan.shards):
            data[f"{pass_.name}/{record.shard.name}"] = record.values["sha256"]
    return content_hash({"plan": plan.content_hash, "data": data})


class _ShardCheck:
    """Reads one shard in all passes that write rows, side by side."""

    def __init__(self, plan: Plan, folder: RunFolder, shard: Shard, with_source: bool) -> None:
        self._plan = plan
        self._folder = folder
        self._shard = shard
        self._with_source = with_source
        self._check = plan.task.row_check(plan.texts, plan.reader.features)

    def problems(self, found: Verification) -> list[str]:
        """Return the problems of the shard, the first of each kind."""
        passes = self._plan.data_passes
        broken = [problem for pass_ in passes for problem in self._file_problems(pass_)]
        if broken:
            return broken
        wrong = list(self._row_problems(found))[:1]
        found.num_shards += len(passes)
        return wrong or [
            problem for pass_ in passes for problem in self._check.statistics(pass_, self._recorded(pass_))
        ]

    def _recorded(self, pass_: Pass) -> Statistics:
        return self._folder.stats(self._plan, pass_, self._shard) or self._plan.task.statistics()

    def _file_problems(self, pass_: Pass) -> Iterator[str]:
        path = self._folder.relative(self._folder.data_path(pass_, self._shard))
        stats = self._folder.stats(self._plan, pass_, self._shard)
        if stats is None:
            yield f"{pass_.title} is not done, or {path} or its statistics were changed afterwards."
            return
        if not self._folder.is_sound(pass_, self._shard):
            yield f"{path} is damaged: its bytes are not those that were written. Delete it."
            return
        with parquet_file(self._folder.data_path(pass_, self._shard)) as file:
            if stored_schema(file.schema_arrow) != stored_schema(self._plan.output_schema):
                yield f"{path} has another schema than was planned."
            if file.metadata.num_rows != stats.num_rows:
                yield f"{path} has {file.metadata.num_rows:,} rows; its statistics say {stats.num_rows:,}."
        if self._shard.num_rows not in (None, stats.num_rows):
            yield f"{path} has {stats.num_rows:,} rows; planned: {self._shard.num_rows:,}."

    def _row_problems(self, found: Verification) -> Iterator[str]:
        passes = {
            pass_.name: _Rows(self._folder.tables(self._plan, pass_, self._shard)) for pass_ in self._plan.data_passes
        }
        source = _Rows(source_rows(self._plan, self._shard)) if self._with_source else None
        first = 0
        while True:
            at_hand = {rows.at_hand() for rows in (source, *passes.values()) if rows}
            if 0 in at_hand:
                if len(at_hand) > 1:
                    yield f"after row {first:,}, source and passes have different numbers of rows."
                return
            portion = min(at_hand)
            original = source.take(portion) if source else None
            tables = {name: rows.take(portion) for name, rows in passes.items()}
            for pass_ in self._plan.data_passes:
                before = tables[pass_.before.name] if pass_.before else original
                yield from self._check.rows(pass_, tables[pass_.name], before, original, first)
            found.num_rows += portion * len(tables)
            first += portion


def differing_columns(
    pass_: Pass, table: pa.Table, source: pa.Table, first: int, but: Collection[str] = ()
) -> Iterator[str]:
    """Yield a message for each column of a portion of rows that differs from the source.

    Args:
        pass_: The pass of the rows.
        table: The rows.
        source: The same rows of the source.
        first: Number of the first row in its shard.
        but: Columns that may differ.
    """
    for name in source.column_names:
        if name not in but and not same(table.column(name), source.column(name)):
            row = next(i for i in range(len(source)) if not same(table[name][i : i + 1], source[name][i : i + 1]))
            yield f"{pass_.title}: row {first + row:,} differs from its source in column {name!r}."


class _Rows:
    """Rows of tables of any length, taken in portions that do not exceed a table."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest = pa.table({})

    def at_hand(self) -> int:
        """Number of rows that can be taken at once; 0 at the end."""
        while not len(self._rest) and (following := next(self._tables, None)) is not None:
            self._rest = following
        return len(self._rest)

    def take(self, count: int) -> pa.Table:
        """Return the next `count` rows of those that can be taken at once."""
        taken, self._rest = self._rest.slice(0, count), self._rest.slice(count)
        return taken
