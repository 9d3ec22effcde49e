"""What is done of a run: where the files of its shards lie, and what their records tell of them. Nothing is written."""

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
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.storage.files import each, names_below, parquet_file, sha256, sizes_in
from hf_toedit.storage.remote import AnyPath
from hf_toedit.version import __version__

WORK = PurePosixPath("toedit/work")
"""Where the journals of unfinished shards are."""


class Record(NamedTuple):
    """What was written of a shard's data.

    Attributes:
        shard: which one.
        values: the record, whole and of data of that size.
        content: the file that holds it.
    """

    shard: Shard
    values: dict[str, Any]
    content: bytes


class Records:
    """The shards of a run, as far as they are done.

    A shard is done where its record is whole and of this plan, and its data have the size that the record tells;
    whoever reads the data on holds them against the SHA-256 in it.

    Attributes:
        root: the run folder.
    """

    root: AnyPath

    def relative(self, path: AnyPath) -> str:
        """The path of a file of the run, from the folder."""
        return path.as_posix().removeprefix(f"{self.root.as_posix()}/")

    def data_path(self, pass_: Pass, shard: Shard) -> AnyPath:
        """Where a shard's rows lie."""
        return self.root / "data" / pass_.name / f"{shard.name}.parquet"

    def data_names(self, plan: Plan) -> set[str]:
        """The paths, from the folder, of all files that hold rows of a run, done or not."""
        paths = (self.data_path(pass_, shard) for pass_ in plan.data_passes for shard in plan.shards)
        return set(map(self.relative, paths))

    def strays(self, plan: Plan) -> list[str]:
        """The paths of files among the data that are not of a run, and that `load_dataset` might take for its own.

        Hidden files, as temporary ones are, it passes over.
        """
        strange = set(self._names_of_data()) - self.data_names(plan)
        return sorted(name for name in strange if not any(part.startswith(".") for part in PurePosixPath(name).parts))

    def _names_of_data(self) -> Iterable[str]:
        """The paths of all files among the data."""
        return (f"data/{name}" for name in names_below(self.root / "data"))

    def data_sizes(self, pass_: Pass) -> dict[str, int]:
        """Bytes of the data of all shards, by the names of their files, in one listing."""
        return sizes_in(self.root / "data" / pass_.name)

    def data_size(self, pass_: Pass, shard: Shard) -> int | None:
        """Bytes of a shard's data; None where there are none."""
        try:
            return self.data_path(pass_, shard).stat().st_size
        except OSError:
            return None

    def parquet(self, pass_: Pass, shard: Shard) -> AbstractContextManager[pq.ParquetFile]:
        """A shard's data, opened.

        Raises:
            OSError, ArrowException: they cannot be read.
        """
        return parquet_file(self.data_path(pass_, shard))

    def stats_path(self, pass_: Pass, shard: Shard) -> AnyPath:
        """Where its statistics lie."""
        return self.root / "toedit" / "stats" / pass_.name / f"{shard.name}.json"

    def journal_path(self, pass_: Pass, shard: Shard) -> AnyPath:
        """Where the journal of a shard is while a pass is under way."""
        return self.root / WORK / pass_.name / shard.name

    def stats(self, plan: Plan, pass_: Pass, shard: Shard) -> Statistics | None:
        """Statistics of a shard; None unless data, statistics and plan hash agree, that is, unless it is done."""
        return self.all_stats(plan, pass_, [shard]).get(shard.name)

    def is_sound(self, pass_: Pass, shard: Shard) -> bool:
        """Whether the data of a shard are, to the last byte, those that were written."""
        return self.sound_sha256(pass_, shard) is not None

    def sound_sha256(self, pass_: Pass, shard: Shard) -> str | None:
        """SHA-256 of the data of a shard; None unless they are, to the last byte, those that were written."""
        record = self.record(pass_, shard)
        if record is None or record["sha256"] != sha256(self.data_path(pass_, shard)):
            return None
        return str(record["sha256"])

    def record(self, pass_: Pass, shard: Shard) -> dict[str, Any] | None:
        """What was written of a shard's data; None where it is missing, damaged, or of other data."""
        return next((record.values for record in self.records(pass_, [shard])), None)

    def records(self, pass_: Pass, shards: Sequence[Shard]) -> Iterator[Record]:
        """What was written of some shards, in order, leaving out those of which `record` knows nothing.

        Of a pass that writes no rows it is of the data that were read, or of the plan where these are the source's. The
        folder of the data is listed once, however many shards there are.
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
        """Statistics of those of some shards that are done in a pass, by name."""
        return {
            record.shard.name: _read_stats(plan, record.values, self.stats_path(pass_, record.shard))
            for record in self.records(pass_, shards)
            if record.values["plan"] == plan.content_hash
        }

    def unfinished(self, plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
        """Those of some shards that are not done in every pass."""
        done = {shard.name for shard in shards}
        for pass_ in plan.passes:
            done &= {
                record.shard.name
                for record in self.records(pass_, shards)
                if record.values["plan"] == plan.content_hash
            }
        return [shard for shard in shards if shard.name not in done]

    def _contents(self, shards: Sequence[Shard], path: Callable[[Shard], AnyPath]) -> Iterator[tuple[Shard, bytes]]:
        """What the small files of shards hold; nothing where they are missing."""

        def content(shard: Shard) -> bytes:
            with suppress(OSError):
                return path(shard).read_bytes()
            return b""

        return each(content, shards, self.root)

    def is_done(self, plan: Plan, shard: Shard) -> bool:
        """Whether a shard is done in every pass."""
        return not self.unfinished(plan, [shard])

    def merged_stats(self, plan: Plan, pass_: Pass, split: str | None = None) -> Statistics:
        """Statistics of a pass over all its shards, or those of one split.

        Raises:
            RunError: a shard is not done.
        """
        shards = [shard for shard in plan.shards if split in (None, shard.split)]
        parts = self.all_stats(plan, pass_, shards)
        missing = [shard.name for shard in shards if shard.name not in parts]
        if missing:
            raise RunError(
                f"{pass_.title} of {self.root} is not finished: {missing[0]} is missing. "
                f"Finish it: hf-toedit run {self.root}"
            )
        return plan.task.statistics.merged(parts.values())


def _whole(content: bytes) -> dict[str, Any]:
    """A record; nothing where it is missing or damaged."""
    try:
        record = json.loads(content)
        return record if record.pop("hash") == content_hash(record) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _identity(record: dict[str, Any]) -> tuple[Any, Any]:
    """Of which data it is."""
    return record.get("plan"), record.get("sha256")


def _read_stats(plan: Plan, record: dict[str, Any], path: AnyPath) -> Statistics:
    try:
        return plan.task.statistics.from_json(record.get("stats"))
    except UsageError as error:
        raise RunError(
            f"{path} holds statistics of another version than this one ({__version__}), or none: {error} "
            f"Use the version that made them, or delete that file and run again."
        ) from error
