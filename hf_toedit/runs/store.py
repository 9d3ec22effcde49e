"""The run folder: where files lie, how they come to be there whole, and when a shard counts as done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_toedit import __version__
from hf_toedit.config import content_hash
from hf_toedit.errors import RunError, UsageError
from hf_toedit.runs.files import TEMPORARY, sha256, sweep, sync, whole_file
from hf_toedit.runs.plan import FORMAT, Plan, Shard
from hf_toedit.stats import EditStats

PLAN = Path("toedit/plan.json")


class RunFolder:
    """A folder that holds one run (DESIGN, section 5: run folder)."""

    def __init__(self, root: str | Path) -> None:
        """Point at a folder; nothing is read or written yet."""
        self.root = Path(os.path.expanduser(root))

    def data_path(self, generation: int, shard: Shard) -> Path:
        """Where a shard's rows lie."""
        return self.root / "data" / f"gen{generation}" / f"{shard.name}.parquet"

    def data_size(self, generation: int, shard: Shard) -> int:
        """Bytes of a shard's data.

        Raises:
            OSError: there are none.
        """
        return self.data_path(generation, shard).stat().st_size

    def parquet(self, generation: int, shard: Shard) -> pq.ParquetFile:
        """A shard's data, opened.

        Raises:
            OSError, ArrowException: they cannot be read.
        """
        return pq.ParquetFile(self.data_path(generation, shard))

    def stats_path(self, generation: int, shard: Shard) -> Path:
        """Where its statistics lie."""
        return self.root / "toedit" / "stats" / f"gen{generation}" / f"{shard.name}.json"

    def result_stats_path(self, shard: Shard) -> Path:
        """Where the statistics of its last generation, read once more, lie."""
        return self.root / "toedit" / "stats" / "result" / f"{shard.name}.json"

    def check(self) -> None:
        """Refuse a folder in which a run cannot be made.

        Raises:
            RunError: it is a file, or holds something else.
        """
        if self.root.exists() and not self.root.is_dir():
            raise RunError(f"{self.root} is a file. Name a folder for the run with -o.")
        files = (path for path in self.root.rglob("*") if path.is_file() and not TEMPORARY.search(path.name))
        if not (self.root / PLAN).exists() and any(files):
            raise RunError(f"folder {self.root} is not empty and holds no run. Name a new folder with -o.")
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
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
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
        record = self.record(generation, shard)
        if not record or record["plan"] != plan.content_hash:
            return None
        return _read_stats(record, self.stats_path(generation, shard))

    def is_sound(self, generation: int, shard: Shard) -> bool:
        """Whether the data of a shard are, to the last byte, those that were written."""
        record = self.record(generation, shard)
        return record is not None and record["sha256"] == sha256(self.data_path(generation, shard))

    def record(self, generation: int, shard: Shard) -> dict[str, Any] | None:
        """What was written of a shard's data; None where it is missing, damaged, or of other data."""
        try:
            record = json.loads(self.stats_path(generation, shard).read_text(encoding="utf-8"))
            size = self.data_size(generation, shard)
            whole = record.pop("hash") == content_hash(record) and record["num_bytes"] == size
            whole = whole and {"plan", "sha256", "stats"} <= record.keys()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return record if whole else None

    def result_stats(self, plan: Plan, shard: Shard) -> EditStats | None:
        """Statistics of the last generation read once more; None unless they are of the data that are there."""
        last = self.record(plan.generations[-1], shard)
        try:
            record = json.loads(self.result_stats_path(shard).read_text(encoding="utf-8"))
            whole = record.pop("hash") == content_hash(record)
            fits = last is not None and all(record[name] == last[name] for name in ("plan", "sha256"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return _read_stats(record, self.result_stats_path(shard)) if whole and fits else None

    def is_done(self, plan: Plan, shard: Shard) -> bool:
        """Whether a shard is done in every generation, and in the reading of the result where there is one."""
        if plan.run.score_result and self.result_stats(plan, shard) is None:
            return False
        return all(self.stats(plan, generation, shard) is not None for generation in plan.generations)

    def merged_stats(self, plan: Plan, generation: int, split: str | None = None) -> EditStats:
        """Statistics of a generation over all its shards, or those of one split.

        Raises:
            RunError: a shard is not done.
        """
        shards = [shard for shard in plan.shards if split in (None, shard.split)]
        parts = [self.stats(plan, generation, shard) for shard in shards]
        missing = [shard.name for shard, part in zip(shards, parts, strict=True) if part is None]
        if missing:
            raise RunError(
                f"generation {generation} of {self.root} is not finished: {missing[0]} is missing. "
                f"Finish it: hf-toedit run {self.root}"
            )
        return EditStats.merged(part for part in parts if part)

    def merged_result_stats(self, plan: Plan) -> EditStats | None:
        """Statistics of the result, read once more, over all shards; None where one was not."""
        parts = [self.result_stats(plan, shard) for shard in plan.shards]
        return None if None in parts else EditStats.merged(part for part in parts if part)

    def tables(self, generation: int, shard: Shard, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a finished shard, in order, as Arrow tables of bounded size.

        Args:
            generation: of the shard.
            shard: which one.
            columns: only these; None is all.
        """
        from hf_toedit.runs.reading import row_group_tables

        file = self.parquet(generation, shard)
        yield from row_group_tables(file, range(file.num_row_groups), columns or file.schema_arrow.names)

    def write_shard(self, plan: Plan, generation: int, shard: Shard, fill: Callable[[Writer], EditStats]) -> EditStats:
        """Write a shard whole or not at all: under a temporary name, synced; then statistics, then data, renamed.

        Args:
            plan: of the run.
            generation: of the shard.
            shard: which one.
            fill: writes the rows and returns their statistics.

        Raises:
            RunError: the folder cannot be written.
        """
        path = self.data_path(generation, shard)
        with whole_file(path, synced=False) as temporary:
            with Writer(temporary, plan.output_schema) as writer:
                stats = fill(writer)
            sync(temporary)  # before the statistics say that it is there
            record = {
                "plan": plan.content_hash,
                "num_bytes": temporary.stat().st_size,
                "sha256": sha256(temporary),
                "stats": stats.to_json(),
            }
            self._write_record(self.stats_path(generation, shard), record)
        return stats

    def write_result_stats(self, plan: Plan, shard: Shard, stats: EditStats) -> None:
        """Note what was counted when the last generation of a shard was read once more.

        Raises:
            RunError: it cannot be written.
        """
        last = self.record(plan.generations[-1], shard) or {}
        self._write_record(self.result_stats_path(shard), {**last, "stats": stats.to_json()})

    def _write_record(self, path: Path, record: dict[str, Any]) -> None:
        text = json.dumps({"hash": content_hash(record), **record}, indent=2) + "\n"
        self.write_text(path.relative_to(self.root), text, synced=False)

    def write_rows(self, path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
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

    def write_text(self, path: str | Path, text: str, synced: bool = True) -> None:
        """Write a small text file whole or not at all; `path` is relative to the folder, `synced` as of `whole_file`.

        Raises:
            RunError: it cannot be written.
        """
        with whole_file(self.root / path, synced) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def update_bytes(self, path: str | Path, content: bytes) -> None:
        """Write a small file whole or not at all, unless it is as it should be: a finished run may be read-only.

        Raises:
            RunError: it cannot be written.
        """
        with suppress(OSError):
            if (self.root / path).read_bytes() == content:
                return
        with whole_file(self.root / path) as temporary:
            temporary.write_bytes(content)


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


def _read_stats(record: dict[str, Any], path: Path) -> EditStats:
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
