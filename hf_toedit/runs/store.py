"""The run folder: where files lie, how they come to be there whole, and when a shard counts as done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hf_toedit import __version__
from hf_toedit.config import content_hash
from hf_toedit.errors import RunError, UsageError
from hf_toedit.remote import AnyPath, RemotePath
from hf_toedit.runs.files import (
    each,
    parquet_file,
    put,
    sha256,
    sizes_in,
    sweep,
    sync,
    temporary_file,
    whole_file,
)
from hf_toedit.runs.plan import FORMAT, Plan, Shard
from hf_toedit.stats import EditStats
from hf_toedit.temporary import TEMPORARY, temporary_name

PLAN = Path("toedit/plan.json")


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


class RunFolder:
    """A folder that holds one run (DESIGN, section 5: run folder), on this machine or in storage.

    A shard is done where its record is whole and of this plan, and its data have the size that the record tells;
    whoever reads the data on holds them against the SHA-256 in it. On a local disk both appear by rename, the data
    last. In storage there is no rename: a record of other data is removed first, then the data are put, then their
    record; a shard that another process finished in the meantime is left as it is. Two that put the same shard at
    the same moment may leave the data of one and the record of the other: the same bytes where their machines are
    alike, and otherwise found out by size or SHA-256.
    """

    def __init__(self, root: str | Path) -> None:
        """Point at a folder, or at a URL that fsspec understands; nothing is read or written yet.

        Raises:
            UsageError: no run can lie at that URL.
        """
        name = str(root).removeprefix("file://")
        self.root: AnyPath = RemotePath.folder(name) if "://" in name else Path(os.path.expanduser(name))

    @property
    def name(self) -> str:
        """Of the folder, without those that it lies in; its address if `datasets` loads it from there."""
        if isinstance(self.root, Path):
            return self.root.resolve().name
        return self.root.url if self.root.url.startswith("hf://") else self.root.name

    def is_inside(self, folder: Path) -> bool:
        """Whether it lies in a folder of this machine."""
        return isinstance(self.root, Path) and self.root.resolve().is_relative_to(folder.resolve())

    def relative(self, path: AnyPath) -> str:
        """The path of a file of the run, from the folder."""
        return path.as_posix().removeprefix(f"{self.root.as_posix()}/")

    def data_path(self, generation: int, shard: Shard) -> AnyPath:
        """Where a shard's rows lie."""
        return self.root / "data" / f"gen{generation}" / f"{shard.name}.parquet"

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
        return self.root / "toedit" / "stats" / "result" / f"{shard.name}.json"

    def check(self) -> None:
        """Refuse a folder in which a run cannot be made.

        Raises:
            RunError: it is a file, holds something else, or cannot be written.
        """
        if self.root.is_file():
            raise RunError(f"{self.root} is a file. Name a folder for the run with -o.")
        if isinstance(self.root, RemotePath):
            found: Iterator[AnyPath] = self.root.iterdir()
        else:
            found = (path for path in self.root.rglob("*") if path.is_file())
        if not (self.root / PLAN).exists() and any(not TEMPORARY.search(path.name) for path in found):
            raise RunError(f"folder {self.root} is not empty and holds no run. Name a new folder with -o.")
        if isinstance(self.root, RemotePath):  # there is nothing to ask but to try
            trial = temporary_name("trial")
            self.write_text(trial, "This may be deleted.\n")
            (self.root / trial).unlink(missing_ok=True)
            return
        standing = next(parent for parent in (self.root, *self.root.absolute().parents) if parent.exists())
        if not standing.is_dir():
            raise RunError(f"cannot make {self.root}: {standing} is a file. Name a folder for the run with -o.")
        if not os.access(standing, os.W_OK | os.X_OK):
            raise RunError(
                f"cannot write {self.root}: the folder cannot be written ({standing}). Name another with -o."
            )

    def check_empty(self) -> None:
        """Refuse a folder in which anything lies.

        Raises:
            RunError: something does.
        """
        if self.root.exists() and (self.root.is_file() or any(self.root.iterdir())):
            raise RunError(f"{self.root} exists and is not an empty folder. Name a new folder with -o.")

    def open(self, plan: Plan) -> None:
        """Begin a run in this folder, or go on with the same one.

        Raises:
            RunError: the folder holds a run of another plan; the differing values are named.
        """
        self.check()
        if (self.root / PLAN).exists():
            here = self.plan()
            differences = here.differences(plan)
            if differences:
                raise RunError(
                    f"{self.root} holds another run (here first, then what was asked for): {'; '.join(differences)}. "
                    f"Name a new folder with -o, ask for the same, or go on with the run that is here: "
                    f"hf-toedit run {self.root}"
                )
            if here.reading.root == plan.reading.root:
                return  # otherwise the source was moved, and it is written where it lies now
        self.replan(plan)

    def replan(self, plan: Plan) -> None:
        """Write the plan of this run anew, which may have further generations now.

        Raises:
            RunError: it cannot be written.
        """
        self.write_text(PLAN, plan_text(plan))

    def sweep(self) -> None:
        """Remove the temporary files of processes that died."""
        sweep(self.root)

    def plan(self) -> Plan:
        """The plan of this run.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        try:
            values = json.loads((self.root / PLAN).read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise RunError(f"{self.root / PLAN} is of format {values['format']}; this version reads {FORMAT}.")
            plan = Plan.from_json(values)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(f"{self.root} is not a run folder: it has no {PLAN}.") from error
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError, UsageError) as error:
            raise RunError(f"cannot read {self.root / PLAN}: {error}. Make the run anew in another folder.") from error
        if plan.content_hash != values["hash"]:
            raise RunError(
                f"{self.root / PLAN} was changed by hand, or planned by a version that this one ({__version__}) does "
                f"not understand ({plan.version}): its hash does not fit. Make the run anew in another folder."
            )
        return plan

    def stats(self, plan: Plan, generation: int, shard: Shard) -> EditStats | None:
        """Statistics of a shard; None unless data, statistics and plan hash agree, that is, unless it is done."""
        return self.all_stats(plan, generation, [shard]).get(shard.name)

    def is_sound(self, generation: int, shard: Shard) -> bool:
        """Whether the data of a shard are, to the last byte, those that were written."""
        record = self.record(generation, shard)
        return record is not None and record["sha256"] == sha256(self.data_path(generation, shard))

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

    def tables(self, generation: int, shard: Shard, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a finished shard, in order, as Arrow tables of bounded size.

        Args:
            generation: of the shard.
            shard: which one.
            columns: only these; None is all.
        """
        from hf_toedit.runs.reading import row_group_tables

        with self.parquet(generation, shard) as file:
            yield from row_group_tables(file, range(file.num_row_groups), columns or file.schema_arrow.names)

    def write_shard(self, plan: Plan, generation: int, shard: Shard, fill: Callable[[Writer], EditStats]) -> EditStats:
        """Write a shard whole or not at all; what counts as done is said of the class.

        Args:
            plan: of the run.
            generation: of the shard.
            shard: which one.
            fill: writes the rows and returns their statistics.

        Returns:
            Statistics of the shard that is there.

        Raises:
            RunError: the folder cannot be written.
        """
        path = self.data_path(generation, shard)
        with temporary_file(path) as temporary:
            with Writer(temporary, plan.output_schema) as writer:
                stats = fill(writer)
            record = {
                "plan": plan.content_hash,
                "num_bytes": temporary.stat().st_size,
                "sha256": sha256(temporary),
                "stats": stats.to_json(),
            }
            if isinstance(path, Path):
                sync(temporary)  # before the statistics say that it is there
                self._write_record(self.stats_path(generation, shard), record)
                put(temporary, path)
                return stats
            done = self.stats(plan, generation, shard)
            if done is None:
                self.stats_path(generation, shard).unlink(missing_ok=True)
                put(temporary, path)
                self._write_record(self.stats_path(generation, shard), record)
        return done or stats

    def write_result_stats(self, plan: Plan, shard: Shard, stats: EditStats) -> None:
        """Note what was counted when the last generation of a shard was read once more.

        Raises:
            RunError: it cannot be written.
        """
        last = self.record(plan.generations[-1], shard) or {}
        self._write_record(self.result_stats_path(shard), {**last, "stats": stats.to_json()})

    def _write_record(self, path: AnyPath, record: dict[str, Any]) -> None:
        text = json.dumps({"hash": content_hash(record), **record}, indent=2) + "\n"
        self.write_text(self.relative(path), text, synced=False)

    def write_rows(self, path: PurePath, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
        """Write a Parquet file that is no shard, whole or not at all; `path` is relative to the folder.

        Returns:
            The number of rows.

        Raises:
            RunError: it cannot be written.
        """
        num_rows = 0
        with whole_file(self.root / path) as temporary, Writer(temporary, schema) as writer:
            for table in tables:
                writer.write(table)
                num_rows += len(table)
        return num_rows

    def write_text(self, path: str | PurePath, text: str, synced: bool = True) -> None:
        """Write a small text file whole or not at all; `path` is relative to the folder, `synced` as of `whole_file`.

        Raises:
            RunError: it cannot be written.
        """
        with whole_file(self.root / path, synced) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def update_bytes(self, path: str | PurePath, content: bytes) -> None:
        """Write a small file whole or not at all, unless it is as it should be: a finished run may be read-only.

        Raises:
            RunError: it cannot be written.
        """
        with suppress(OSError):
            if (self.root / path).read_bytes() == content:
                return
        with whole_file(self.root / path) as temporary:
            temporary.write_bytes(content)


def is_run(name: str) -> bool:
    """Whether a name, which may be that of a source as well, is the name of a folder that holds a run."""
    try:
        return (RunFolder(name).root / PLAN).exists()
    except UsageError:
        return False


class Writer:
    """A Parquet file of given schema; each table written is one row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open the file.

        Args:
            path: of the file.
            schema: of its rows.
        """
        self._schema = schema
        # Content-defined chunks let the Hub's storage keep the unedited part of two generations once.
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", use_content_defined_chunking=True)

    def write(self, table: pa.Table) -> None:
        """Write rows, in the column order and types of the schema."""
        table = table.select(self._schema.names).cast(self._schema)
        self._writer.write_table(table, row_group_size=max(len(table), 1))

    def __enter__(self) -> Writer:
        """Ready to write."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Write the footer."""
        self._writer.close()


def _whole(content: bytes) -> dict[str, Any]:
    """A record; nothing where it is missing or damaged."""
    try:
        record = json.loads(content)
        return record if record.pop("hash") == content_hash(record) else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _identity(record: dict[str, Any]) -> tuple[Any, Any]:
    """Of which data it is."""
    return record.get("plan"), record.get("sha256")


def _read_stats(record: dict[str, Any], path: AnyPath) -> EditStats:
    try:
        return EditStats.from_json(record["stats"])
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} holds statistics of another version than this one ({__version__}): {error}. Use the version that "
            f"made them."
        ) from error


def plan_text(plan: Plan) -> str:
    """JSON with a line for each file and shard: readable, and not much longer than it must be."""
    parts = []
    for name, value in plan.to_json().items():
        if isinstance(value, list):
            lines = ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in value)
            parts.append(f'  "{name}": [\n{lines}\n  ]')
        else:
            parts.append(f'  "{name}": ' + json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  "))
    return "{\n" + ",\n".join(parts) + "\n}\n"
