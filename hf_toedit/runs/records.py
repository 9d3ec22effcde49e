"""Records of the finished shards of a run: paths of their files, and their contents. Read-only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from hf_toedit.config import content_hash
from hf_toedit.errors import RunError, UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.program import command_line
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.storage.files import each, names_below, parquet_file, sha256, sizes_in
from hf_toedit.storage.remote import AnyPath
from hf_toedit.version import __version__

WORK = PurePosixPath("toedit/work")
"""Folder of the journals of unfinished shards."""


class Record(NamedTuple):
    """The record of a shard's data.

    Attributes:
        shard: The shard.
        values: The record, undamaged and of data of the recorded size.
        content: Content of the record file.
    """

    shard: Shard
    values: dict[str, Any]
    content: bytes


class Records:
    """The finished shards of a run.

    A shard is done if its record is undamaged and belongs to this plan, and its data have the recorded size. Code that
    passes the data on checks them against the recorded SHA-256.

    Attributes:
        root: The run folder.
    """

    root: AnyPath

    def relative(self, path: AnyPath) -> str:
        """Return the path of a file of the run, relative to the folder."""
        return path.as_posix().removeprefix(f"{self.root.as_posix()}/")

    def data_path(self, pass_: Pass, shard: Shard) -> AnyPath:
        """Return the path of a shard's rows."""
        return self.root / "data" / pass_.name / f"{shard.name}.parquet"

    def data_names(self, plan: Plan) -> set[str]:
        """Return the relative paths of all data files of a run, finished or not."""
        paths = (self.data_path(pass_, shard) for pass_ in plan.data_passes for shard in plan.shards)
        return set(map(self.relative, paths))

    def strays(self, plan: Plan) -> list[str]:
        """Return the paths of data files that are not of the run, and that `load_dataset` might load.

        Hidden files, such as temporary ones, are ignored, as `load_dataset` ignores them.
        """
        strange = set(self._names_of_data()) - self.data_names(plan)
        return sorted(name for name in strange if not any(part.startswith(".") for part in PurePosixPath(name).parts))

    def _names_of_data(self) -> Iterable[str]:
        """Return the paths of all files in the data folder."""
        return (f"data/{name}" for name in names_below(self.root / "data"))

    def data_sizes(self, pass_: Pass) -> dict[str, int]:
        """Return the data size in bytes of all shards, by file name, from a single listing."""
        return sizes_in(self.root / "data" / pass_.name)

    def data_size(self, pass_: Pass, shard: Shard) -> int | None:
        """Return the data size of a shard in bytes; None if there are no data."""
        try:
            return self.data_path(pass_, shard).stat().st_size
        except OSError:
            return None

    def parquet(self, pass_: Pass, shard: Shard) -> AbstractContextManager[pq.ParquetFile]:
        """Open a shard's data.

        Raises:
            OSError, ArrowException: The data cannot be read.
        """
        return parquet_file(self.data_path(pass_, shard))

    def stats_path(self, pass_: Pass, shard: Shard) -> AnyPath:
        """Return the path of a shard's statistics."""
        return self.root / "toedit" / "stats" / pass_.name / f"{shard.name}.json"

    def journal_path(self, pass_: Pass, shard: Shard) -> AnyPath:
        """Return the path of a shard's journal during a pass."""
        return self.root / WORK / pass_.name / shard.name

    def stats(self, plan: Plan, pass_: Pass, shard: Shard) -> Statistics | None:
        """Return the statistics of a finished shard; None unless data, statistics and plan hash agree."""
        return self.all_stats(plan, pass_, [shard]).get(shard.name)

    def is_sound(self, pass_: Pass, shard: Shard) -> bool:
        """Whether the data of a shard are, byte for byte, those that were written."""
        return self.sound_sha256(pass_, shard) is not None

    def sound_sha256(self, pass_: Pass, shard: Shard) -> str | None:
        """Return the SHA-256 of a shard's data; None unless they are, byte for byte, those that were written."""
        record = self.record(pass_, shard)
        if record is None or record["sha256"] != sha256(self.data_path(pass_, shard)):
            return None
        return str(record["sha256"])

    def record(self, pass_: Pass, shard: Shard) -> dict[str, Any] | None:
        """Return the record of a shard's data; None if it is missing, damaged, or of other data."""
        return next((record.values for record in self.records(pass_, [shard])), None)

    def records(self, pass_: Pass, shards: Sequence[Shard]) -> Iterator[Record]:
        """Yield the records of shards, in order; shards for which `record` returns None are omitted.

        In a pass that writes no rows, a record refers to the data that were read, or to the plan if the pass reads the
        source. The data folder is listed once, for any number of shards.
        """
        if pass_.writes_rows:
            yield from self._records_of_data(pass_, shards)
            return
        if pass_.before is None:
            read, there = None, list(shards)
        else:
            read = {record.shard.name: _identity(record.values) for record in self.records(pass_.before, shards)}
            there = [shard for shard in shards if shard.name in read]
        for shard, content in self._contents(there, lambda shard: self.stats_path(pass_, shard)):
            values = _whole(content)
            if {"plan", "stats"} <= values.keys() and (read is None or _identity(values) == read[shard.name]):
                yield Record(shard, values, content)

    def _records_of_data(self, pass_: Pass, shards: Sequence[Shard]) -> Iterator[Record]:
        sizes = self.data_sizes(pass_) if len(shards) > 1 else None
        there = [shard for shard in shards if sizes is None or f"{shard.name}.parquet" in sizes]
        for shard, content in self._contents(there, lambda shard: self.stats_path(pass_, shard)):
            values = _whole(content)
            if {"plan", "num_bytes", "sha256", "stats"} <= values.keys():
                size = self.data_size(pass_, shard) if sizes is None else sizes[f"{shard.name}.parquet"]
                if values["num_bytes"] == size:
                    yield Record(shard, values, content)

    def all_stats(self, plan: Plan, pass_: Pass, shards: Sequence[Shard]) -> dict[str, Statistics]:
        """Return the statistics, by name, of those shards that are done in a pass."""
        return {
            record.shard.name: _read_stats(plan, record.values, self.stats_path(pass_, record.shard))
            for record in self.records(pass_, shards)
            if record.values["plan"] == plan.content_hash
        }

    def unfinished(self, plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
        """Return the shards that are not done in every pass."""
        done = {shard.name for shard in shards}
        for pass_ in plan.passes:
            done &= {
                record.shard.name
                for record in self.records(pass_, shards)
                if record.values["plan"] == plan.content_hash
            }
        return [shard for shard in shards if shard.name not in done]

    def _contents(self, shards: Sequence[Shard], path: Callable[[Shard], AnyPath]) -> Iterator[tuple[Shard, bytes]]:
        """Read one small file per shard; empty if it is missing."""

        def content(shard: Shard) -> bytes:
            with suppress(OSError):
                return path(shard).read_bytes()
            return b""

        return each(content, shards, self.root)

    def is_done(self, plan: Plan, shard: Shard) -> bool:
        """Whether a shard is done in every pass."""
        return not self.unfinished(plan, [shard])

    def merged_stats(self, plan: Plan, pass_: Pass, split: str | None = None) -> Statistics:
        """Merge the statistics of a pass over all its shards, or those of one split.

        Raises:
            RunError: A shard is not done.
        """
        shards = [shard for shard in plan.shards if split in (None, shard.split)]
        parts = self.all_stats(plan, pass_, shards)
        missing = [shard.name for shard in shards if shard.name not in parts]
        if missing:
            raise RunError(
                f"{pass_.title} of {self.root} is not finished: {missing[0]} is missing. "
                f"Finish it: {command_line('run', self.root)}"
            )
        return plan.task.statistics.merged(parts.values())


def _whole(content: bytes) -> dict[str, Any]:
    """Parse a record; empty if it is missing or damaged."""
    try:
        record = json.loads(content)
        return record if record.pop("hash") == content_hash(record) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _identity(record: dict[str, Any]) -> tuple[Any, Any]:
    """Return what identifies the data of a record."""
    return record.get("plan"), record.get("sha256")


def _read_stats(plan: Plan, record: dict[str, Any], path: AnyPath) -> Statistics:
    try:
        return plan.task.statistics.from_json(record.get("stats"))
    except UsageError as error:
        raise RunError(
            f"{path} holds statistics of another version than this one ({__version__}), or none: {error} "
            f"Use the version that made them, or delete that file and run again."
        ) from error
