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
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.stats import EditStats
from hf_toedit.storage.files import each, names_below, parquet_file, sha256, sizes_in
from hf_toedit.storage.remote import AnyPath
from hf_toedit.version import __version__

WORK = PurePosixPath("toedit/work")
"""Where the journals of unfinished shards are."""

RESULT = "result"
"""The name of the pass that reads the last generation once more."""


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

    def data_path(self, generation: int, shard: Shard) -> AnyPath:
        """Where a shard's rows lie."""
        return self.root / "data" / f"gen{generation}" / f"{shard.name}.parquet"

    def data_names(self, plan: Plan) -> set[str]:
        """The paths, from the folder, of all files that hold rows of a run, done or not."""
        paths = (self.data_path(generation, shard) for generation in plan.generations for shard in plan.shards)
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

    def data_sizes(self, generation: int) -> dict[str, int]:
        """Bytes of the data of all shards, by the names of their files, in one listing."""
        return sizes_in(self.root / "data" / f"gen{generation}")

    def data_size(self, generation: int, shard: Shard) -> int | None:
        """Bytes of a shard's data; None where there are none."""
        try:
            return self.data_path(generation, shard).stat().st_size
        except OSError:
            return None

    def parquet(self, generation: int, shard: Shard) -> AbstractContextManager[pq.ParquetFile]:
        """A shard's data, opened.

        Raises:
            OSError, ArrowException: they cannot be read.
        """
        return parquet_file(self.data_path(generation, shard))

    def stats_path(self, generation: int, shard: Shard) -> AnyPath:
        """Where its statistics lie."""
        return self.root / "toedit" / "stats" / f"gen{generation}" / f"{shard.name}.json"

    def result_stats_path(self, shard: Shard) -> AnyPath:
        """Where the statistics of its last generation, read once more, lie."""
        return self.root / "toedit" / "stats" / RESULT / f"{shard.name}.json"

    def journal_path(self, plan: Plan, generation: int, shard: Shard) -> AnyPath:
        """Where the journal of a shard is while a generation is edited, or the last one read once more."""
        name = f"gen{generation}" if generation in plan.generations else RESULT
        return self.root / WORK / name / shard.name

    def stats(self, plan: Plan, generation: int, shard: Shard) -> EditStats | None:
        """Statistics of a shard; None unless data, statistics and plan hash agree, that is, unless it is done."""
        return self.all_stats(plan, generation, [shard]).get(shard.name)

    def is_sound(self, generation: int, shard: Shard) -> bool:
        """Whether the data of a shard are, to the last byte, those that were written."""
        return self.sound_sha256(generation, shard) is not None

    def sound_sha256(self, generation: int, shard: Shard) -> str | None:
        """SHA-256 of the data of a shard; None unless they are, to the last byte, those that were written."""
        record = self.record(generation, shard)
        if record is None or record["sha256"] != sha256(self.data_path(generation, shard)):
            return None
        return str(record["sha256"])

    def record(self, generation: int, shard: Shard) -> dict[str, Any] | None:
        """What was written of a shard's data; None where it is missing, damaged, or of other data."""
        return next((record.values for record in self.records(generation, [shard])), None)

    def records(self, generation: int, shards: Sequence[Shard]) -> Iterator[Record]:
        """What was written of the data of some shards, in order, leaving out those of which `record` knows nothing.

        The folder of the data is listed once, however many they are.
        """
        sizes = self.data_sizes(generation) if len(shards) > 1 else None
        there = [shard for shard in shards if sizes is None or f"{shard.name}.parquet" in sizes]
        for shard, content in self._contents(there, lambda shard: self.stats_path(generation, shard)):
            values = _whole(content)
            if {"plan", "num_bytes", "sha256", "stats"} <= values.keys():
                size = self.data_size(generation, shard) if sizes is None else sizes[f"{shard.name}.parquet"]
                if values["num_bytes"] == size:
                    yield Record(shard, values, content)

    def result_records(self, plan: Plan, shards: Sequence[Shard]) -> Iterator[Record]:
        """What was written when the last generation of some shards was read once more, of the data that are there."""
        last = {record.shard.name: _identity(record.values) for record in self.records(plan.generations[-1], shards)}
        there = [shard for shard in shards if shard.name in last]
        for shard, content in self._contents(there, self.result_stats_path):
            values = _whole(content)
            if _identity(values) == last[shard.name]:
                yield Record(shard, values, content)

    def result_stats(self, plan: Plan, shard: Shard) -> EditStats | None:
        """Statistics of the last generation read once more; None unless they are of the data that are there."""
        return self.all_result_stats(plan, [shard]).get(shard.name)

    def all_stats(self, plan: Plan, generation: int, shards: Sequence[Shard]) -> dict[str, EditStats]:
        """Statistics of those of some shards that are done in a generation, by name."""
        return {
            record.shard.name: _read_stats(record.values, self.stats_path(generation, record.shard))
            for record in self.records(generation, shards)
            if record.values["plan"] == plan.content_hash
        }

    def all_result_stats(self, plan: Plan, shards: Sequence[Shard]) -> dict[str, EditStats]:
        """Statistics of those of some shards whose last generation was read once more, by name."""
        return {
            record.shard.name: _read_stats(record.values, self.result_stats_path(record.shard))
            for record in self.result_records(plan, shards)
        }

    def unfinished(self, plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
        """Those of some shards that are not done in every generation, and in the reading of the result if any."""
        done = {shard.name for shard in shards}
        for generation in plan.generations:
            done &= {
                record.shard.name
                for record in self.records(generation, shards)
                if record.values["plan"] == plan.content_hash
            }
        if plan.run.score_result:
            done &= {record.shard.name for record in self.result_records(plan, shards)}
        return [shard for shard in shards if shard.name not in done]

    def _contents(self, shards: Sequence[Shard], path: Callable[[Shard], AnyPath]) -> Iterator[tuple[Shard, bytes]]:
        """What the small files of shards hold; nothing where they are missing."""

        def content(shard: Shard) -> bytes:
            with suppress(OSError):
                return path(shard).read_bytes()
            return b""

        return each(content, shards, self.root)

    def is_done(self, plan: Plan, shard: Shard) -> bool:
        """Whether a shard is done in every generation, and in the reading of the result where there is one."""
        return not self.unfinished(plan, [shard])

    def merged_stats(self, plan: Plan, generation: int, split: str | None = None) -> EditStats:
        """Statistics of a generation over all its shards, or those of one split.

        Raises:
            RunError: a shard is not done.
        """
        shards = [shard for shard in plan.shards if split in (None, shard.split)]
        parts = self.all_stats(plan, generation, shards)
        missing = [shard.name for shard in shards if shard.name not in parts]
        if missing:
            raise RunError(
                f"generation {generation} of {self.root} is not finished: {missing[0]} is missing. "
                f"Finish it: hf-toedit run {self.root}"
            )
        return EditStats.merged(parts.values())

    def merged_result_stats(self, plan: Plan) -> EditStats | None:
        """Statistics of the result, read once more, over all shards; None where one was not."""
        parts = self.all_result_stats(plan, plan.shards) if plan.run.score_result else {}
        return EditStats.merged(parts.values()) if len(parts) == len(plan.shards) else None


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


def _read_stats(record: dict[str, Any], path: AnyPath) -> EditStats:
    try:
        return EditStats.from_json(record.get("stats"))
    except UsageError as error:
        raise RunError(
            f"{path} holds statistics of another version than this one ({__version__}), or none: {error} "
            f"Use the version that made them, or delete that file and run again."
        ) from error
