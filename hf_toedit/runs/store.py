"""The run folder: how its files are written atomically, and in which order."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from hf_toedit.checked import check_encodable
from hf_toedit.config import content_hash
from hf_toedit.errors import RunError, UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.program import command_line
from hf_toedit.runs.journal import Journal, remove_journal
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.records import WORK, Records
from hf_toedit.runs.writer import Writer
from hf_toedit.storage.files import (
    names_in,
    put,
    remove_empty,
    sha256,
    sweep,
    sync,
    temporary_file,
    whole_file,
)
from hf_toedit.storage.layout import PLAN, STEPS
from hf_toedit.storage.remote import AnyPath, RemotePath
from hf_toedit.storage.temporary import TEMPORARY, is_abandoned, temporary_name


class RunFolder(Records):
    """A folder with one run, on this machine or in remote storage.

    On a local disk, the data of a shard and their record appear by rename, the data last. Remote storage has no rename:
    a record of other data is removed first, then the data are uploaded, then their record; a shard that another process
    finished in the meantime is left unchanged. Two processes that upload the same shard at the same moment may leave
    the data of one and the record of the other: these are the same bytes if their machines are alike, and otherwise the
    mismatch is detected by size or SHA-256.
    """

    def __init__(self, root: str | Path) -> None:
        """Point at a folder, or at a URL that fsspec understands; nothing is read or written yet.

        Raises:
            UsageError: The name is empty, the path is not valid UTF-8, or the URL cannot be used for a run.
        """
        name = str(root).removeprefix("file://")
        if not name.strip():
            raise UsageError("the run folder has no name. Name a folder, or an address such as s3://bucket/run.")
        self.root: AnyPath = RemotePath.folder(name) if "://" in name else Path(os.path.expanduser(name))
        check_encodable(
            os.path.abspath(self.root) if isinstance(self.root, Path) else name, "the path of the run folder"
        )

    @property
    def name(self) -> str:
        """Name of the folder without its parents; its URL if `datasets` can load it from there."""
        if isinstance(self.root, Path):
            return self.root.resolve().name
        return self.root.url if self.root.url.startswith("hf://") else self.root.name

    def is_inside(self, folder: Path) -> bool:
        """Whether the run folder is inside a folder of this machine."""
        return isinstance(self.root, Path) and self.root.resolve().is_relative_to(folder.resolve())

    def check(self) -> None:
        """Refuse a folder that cannot be used for a run.

        Raises:
            RunError: It is a file, contains other files, or cannot be written.
        """
        if self.root.is_file():
            raise RunError(f"{self.root} is a file. Name a folder for the run with -o.")
        is_ours = any((self.root / name).exists() for name in (PLAN, STEPS))
        if not is_ours and any(not TEMPORARY.search(path.name) for path in self._files()):
            raise RunError(f"folder {self.root} is not empty and holds no run. Name a new folder with -o.")
        if isinstance(self.root, RemotePath):  # the only check is to try
            trial = temporary_name("trial")
            self.write_text(trial, "This may be deleted.\n")
            (self.root / trial).unlink(missing_ok=True)
            return
        nearest = next(parent for parent in (self.root, *self.root.absolute().parents) if parent.exists())
        if not nearest.is_dir():
            raise RunError(f"cannot make {self.root}: {nearest} is a file. Name a folder for the run with -o.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise RunError(f"cannot write {self.root}: the folder cannot be written ({nearest}). Name another with -o.")

    def check_empty(self) -> None:
        """Refuse a folder that contains any file, except temporary files of dead processes.

        Raises:
            RunError: It contains a file.
        """
        if self.root.is_file() or any(not is_abandoned(path.name) for path in self._files()):
            raise RunError(f"{self.root} exists and is not an empty folder. Name a new folder with -o.")

    def _files(self) -> Iterator[AnyPath]:
        """Yield all files in the folder; in remote storage, all entries at its top level."""
        if isinstance(self.root, RemotePath):
            yield from self.root.iterdir()
        else:
            yield from (path for path in self.root.rglob("*") if path.is_file())

    def open(self, plan: Plan) -> None:
        """Begin a run in this folder, or continue the same one.

        Raises:
            RunError: The folder contains a run with a different plan; the message lists the differences.
        """
        self.check()
        if (self.root / PLAN).exists():
            from hf_toedit.runs.located import as_planned

            here = self.plan()
            plan = as_planned(here, plan)
            differences = here.differences(plan)
            if differences:
                raise RunError(
                    f"{self.root} holds another run: {'; '.join(differences)}. "
                    f"Name a new folder with -o, use the same settings, or continue the run in this folder: "
                    f"{command_line('run', self.root)}"
                )
            if here.reading.has_places_of(plan.reading):
                return
            plan = replace(here, reading=plan.reading)  # the source was moved: the same plan gets its new location
        self.replan(plan)

    def replan(self, plan: Plan) -> None:
        """Rewrite the plan of this run, which may have further generations now.

        Raises:
            RunError: It cannot be written.
        """
        self.write_text(PLAN, plan_text(plan))

    def sweep(self) -> None:
        """Remove temporary files of dead processes, and journals of finished shards."""
        sweep(self.root)
        with suppress(RunError):  # without a plan, it is unknown which shards are done
            if passes := names_in(self.root / WORK):
                self._sweep_journals(self.plan(), passes)

    def journal(self, plan: Plan, pass_: Pass, shard: Shard, before: str | None) -> Journal:
        """Return the journal of an unfinished shard.

        Args:
            plan: The run's plan.
            pass_: The current pass.
            shard: The shard.
            before: SHA-256 of the data that the pass reads; None for the source.
        """
        about = {"plan": plan.content_hash, "shard": shard.name, "pass": pass_.name, "before": before}
        return Journal(self.journal_path(pass_, shard), about, plan.task.statistics)

    def _sweep_journals(self, plan: Plan, names: list[str]) -> None:
        """Remove journals of finished shards, left by a killed process; other journals may be in use elsewhere."""
        shards = {shard.name: shard for shard in plan.shards}
        for pass_ in (pass_ for pass_ in plan.passes if pass_.name in names):
            journals = [shards[shard] for shard in names_in(self.root / WORK / pass_.name) if shard in shards]
            for shard in sorted(self.all_stats(plan, pass_, journals)):
                remove_journal(self.root / WORK / pass_.name / shard)
            remove_empty(self.root / WORK / pass_.name)
        remove_empty(self.root / WORK)

    def plan(self) -> Plan:
        """Read the plan of this run.

        Raises:
            RunError: There is none, or it cannot be read.
        """
        try:
            return Plan.read((self.root / PLAN).read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(f"{self.root} is not a run folder: it has no {PLAN}. Check the path.") from error
        except OSError as error:
            raise RunError(f"cannot read {self.root / PLAN}: {error.strerror or error}. Check the path.") from error
        except RunError as error:
            raise RunError(f"cannot read {self.root / PLAN}: {error} Plan the run again, in another folder.") from error

    def tables(self, plan: Plan, pass_: Pass, shard: Shard, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows of a finished shard as `load_dataset` returns them, in order, as Arrow tables of bounded size.

        Args:
            plan: The run's plan, which determines the features.
            pass_: The pass.
            shard: The shard.
            columns: Columns to read; None reads all.
        """
        from hf_toedit.sources.parquet import as_loaded
        from hf_toedit.sources.row_groups import row_group_tables

        schema = plan.schema_of(columns)
        with self.parquet(pass_, shard) as file:
            for table in row_group_tables(file, range(file.num_row_groups), schema.names):
                yield as_loaded(table, schema)

    def write_shard(self, plan: Plan, pass_: Pass, shard: Shard, fill: Callable[[Writer], Statistics]) -> Statistics:
        """Write a shard completely or not at all; the class describes the order of the steps.

        Args:
            plan: The run's plan.
            pass_: The pass.
            shard: The shard.
            fill: Writes the rows and returns their statistics.

        Returns:
            Statistics of the shard in the folder.

        Raises:
            RunError: The folder cannot be written.
        """
        path = self.data_path(pass_, shard)
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
                sync(temporary)  # before the statistics record that the data exist
                self._write_record(self.stats_path(pass_, shard), record)
                put(temporary, path)
                return stats
            done = self.stats(plan, pass_, shard)
            if done is None:
                self.stats_path(pass_, shard).unlink(missing_ok=True)
                put(temporary, path)
                self._write_record(self.stats_path(pass_, shard), record)
        return done or stats

    def write_stats(self, plan: Plan, pass_: Pass, shard: Shard, stats: Statistics) -> None:
        """Write the statistics of a shard for a pass that writes no rows.

        Raises:
            RunError: They cannot be written.
        """
        read = self.record(pass_.before, shard) if pass_.before else {"plan": plan.content_hash}
        self._write_record(self.stats_path(pass_, shard), {**(read or {}), "stats": stats.to_json()})

    def _write_record(self, path: AnyPath, record: dict[str, Any]) -> None:
        text = json.dumps({"hash": content_hash(record), **record}, indent=2) + "\n"
        self.write_text(self.relative(path), text, synced=False)

    def write_rows(self, files: Iterable[tuple[PurePath, pa.Schema, Iterable[pa.Table]]]) -> None:
        """Write Parquet files other than shards: all of them or, on any error, none.

        On a local disk, all files appear at the end, by rename. In remote storage, each file is uploaded when it is
        complete, which saves local disk space, and removed again if a later one fails.

        Args:
            files: Path relative to the folder, schema and rows of each file.

        Raises:
            RunError: A file cannot be written.
        """
        self.sweep()
        parents = self.root.absolute().parents if isinstance(self.root, Path) else ()
        new = [folder for folder in (self.root, *parents) if not folder.exists()]
        targets: list[AnyPath] = []
        try:
            with ExitStack() as in_the_end:
                for path, schema, tables in files:
                    targets.append(self.root / path)
                    with ExitStack() as at_once:
                        appears = in_the_end if isinstance(self.root, Path) else at_once
                        temporary = appears.enter_context(whole_file(targets[-1]))
                        with Writer(temporary, schema) as writer:
                            for table in tables:
                                writer.write(table)
        except BaseException:
            for target in targets:
                with suppress(OSError, RunError):
                    target.unlink(missing_ok=True)
            for folder in (*(target.parent for target in targets if isinstance(target, Path)), *new):
                remove_empty(folder)
            raise

    def write_text(self, path: str | PurePath, text: str, synced: bool = True) -> None:
        """Write a small text file completely or not at all.

        Args:
            path: Path relative to the folder.
            text: Content of the file.
            synced: See `whole_file`.

        Raises:
            RunError: It cannot be written.
        """
        with whole_file(self.root / path, synced) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def update_bytes(self, path: str | PurePath, content: bytes) -> None:
        """Write a small file completely or not at all, unless it is unchanged: a finished run may be read-only.

        Raises:
            RunError: It cannot be written.
        """
        with suppress(OSError):
            if (self.root / path).read_bytes() == content:
                return
        with whole_file(self.root / path) as temporary:
            temporary.write_bytes(content)


def is_run(name: str) -> bool:
    """Whether a name, which could also name a source, is the name of a folder with a run."""
    try:
        return (RunFolder(name).root / PLAN).exists()
    except UsageError:
        return False
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def plan_text(plan: Plan) -> str:
    """Format a plan as JSON with one line per file and shard, so that it is readable and compact."""
    parts = []
    for name, value in plan.to_json().items():
        if isinstance(value, list):
            lines = ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in value)
            parts.append(f'  "{name}": [\n{lines}\n  ]')
        else:
            parts.append(f'  "{name}": ' + json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  "))
    return "{\n" + ",\n".join(parts) + "\n}\n"
