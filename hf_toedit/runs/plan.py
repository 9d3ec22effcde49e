"""The immutable plan of a run: which rows, which task, and how they are split into shards.

Pure data: `sources/source.py` finds and measures a source, `runs/planning.py` cuts it into shards.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from hf_toedit.checked import checked, from_json, in_json, shown
from hf_toedit.config import SourceConfig, content_hash
from hf_toedit.errors import RunError, UsageError
from hf_toedit.runs.differences import named_differences
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import Task
from hf_toedit.sources.model import Count, Reading, SourceFile
from hf_toedit.version import __version__

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Features

    from hf_toedit.rows.texts import Texts
    from hf_toedit.sources.reading import RowReader

FORMAT = 2
"""Version of `plan.json`. Format 1, of hf-toedit 0.1.0, had the settings of an edit in place of a task."""

MAX_SHARDS = 100_000
"""Maximum number of shards per split: beyond it, shard names no longer sort in order."""


_NO_FACTS = ("task", "version", "provenance")
_EDIT_FACTS_1 = ("prior", "prior_revision", "edit", "run")
"""Facts of an edit in plans of format 1."""

_CARD = dict[str, str | list[str]]
_PROVENANCE = {
    "command": str,
    "python": str,
    "versions": dict[str, str],
    "source_card": _CARD,
    "prior_card": _CARD,
    "own": dict[str, dict[str, str]],
}
"""Types of `Plan.provenance`, as `runs/provenance.py` gathers it; other versions may add more."""


class RowRange(NamedTuple):
    """Rows `[start, stop)` of a file of the plan; up to the end of the file if `stop` is None."""

    file: Count
    start: Count
    stop: Count | None


@dataclass(frozen=True)
class Shard:
    """The unit of work, and one output file per generation.

    Attributes:
        split: Split of the source.
        index: Index among the shards of the split.
        count: Number of shards of the split.
        num_rows: Number of rows; None if planning did not count them.
        num_bytes: Estimated text size, in bytes.
        pieces: Row ranges of files, in order.
        chosen: Encoded selection among these rows, see `runs/chosen.py`; None selects all of them, in order.
    """

    split: str
    index: Count
    count: Annotated[int, Meta(ge=1, le=MAX_SHARDS)]
    num_rows: Count | None
    num_bytes: Count
    pieces: tuple[RowRange, ...]
    chosen: str | None = None

    @property
    def name(self) -> str:
        """File name without its extension, as `datasets` names shards."""
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}"

    def problem(self, files: Sequence[SourceFile]) -> str | None:
        """Return what is wrong with this shard of an untrusted plan with these files; None if nothing is."""
        if PurePath(self.name).name != self.name or any(ord(character) < 32 for character in self.split):
            # Such a split would write outside the run folder.
            return f"split {shown(self.split)} is not the name of a split"
        if self.index >= self.count:
            return f"index {self.index:,} must be below count, which is {self.count:,}"
        for number, piece in enumerate(self.pieces):
            if piece.file >= len(files):
                return f"pieces[{number}] names file {piece.file:,} of {len(files):,} files"
            if piece.stop is not None and piece.stop < piece.start:
                return f"pieces[{number}] ends at row {piece.stop:,}, before it begins at row {piece.start:,}"
        try:
            _ = self.rows
        except UsageError as error:
            return f"chosen is damaged: {error}"
        return None

    @cached_property
    def rows(self) -> np.ndarray | None:
        """Indices of the selected rows among those of its pieces, int64 `[num_rows]`; None for all rows, in order.

        Raises:
            UsageError: The selection cannot be decoded.
        """
        if self.chosen is None:
            return None
        if self.num_rows is None:
            raise UsageError("it does not state the number of rows")
        from hf_toedit.runs.chosen import decoded

        return decoded(self.chosen, self.num_rows)


@dataclass(frozen=True)
class Plan:
    """A resolved run: nothing in it depends on when, where or in which order the work is done.

    Attributes:
        source: Settings of the source.
        source_revision: Revision or fingerprint that pins the source.
        reading: How the files are read.
        task: What is done to the rows.
        files: Files of the source.
        shards: Shards, in order.
        version: Version of hf-toedit that made the plan.
        provenance: Origin of the data, for the card; see `runs/provenance.py`.
    """

    source: SourceConfig
    source_revision: str
    reading: Reading
    task: Task
    files: tuple[SourceFile, ...]
    shards: tuple[Shard, ...]
    version: str
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of everything that determines the rows of a pass.

        It excludes the device, the version and the current location of the files. It also excludes the number of
        generations, so that a run can be extended by further generations.
        """
        facts = self._source_facts()
        facts["reading"].pop("root")
        return content_hash({**facts, **self.task.hashed()})

    @cached_property
    def reader(self) -> RowReader:
        """Reader of the files of the source."""
        from hf_toedit.sources.reading import RowReader

        return RowReader(self.reading)

    @cached_property
    def output_features(self) -> Features:
        """Features of the rows that the run writes."""
        return self.task.output_features(self.reader.features, self.texts)

    @cached_property
    def texts(self) -> Texts:
        """Selects the texts of a row."""
        from hf_toedit.rows.texts import Texts

        return Texts(self.source)

    @cached_property
    def output_schema(self) -> pa.Schema:
        """Arrow schema of the output features."""
        return self.output_features.arrow_schema

    def schema_of(self, columns: list[str] | None) -> pa.Schema:
        """Return the Arrow schema of some output columns, in their order; None selects all."""
        if columns is None:
            return self.output_schema
        features = self.output_features
        return type(features)({name: features[name] for name in columns}).arrow_schema

    @property
    def passes(self) -> tuple[Pass, ...]:
        """Passes of the task, in order."""
        return self.task.passes

    @property
    def shown_passes(self) -> tuple[Pass, ...]:
        """Passes whose figures are reported: those that write rows, or all passes if none does."""
        return self.data_passes or self.passes

    def check_rows(self, done: str) -> None:
        """Refuse a run that writes only statistics.

        Args:
            done: What would be done with the rows, for the message: `pushed`.

        Raises:
            UsageError: The run writes no rows.
        """
        if not self.data_passes:
            raise UsageError(
                f"the rows of this run are {self.task.done}, and none are written, so there is nothing to be {done}. "
                f"Its figures are in `hf-toedit status --json`."
            )

    @property
    def data_passes(self) -> tuple[Pass, ...]:
        """Passes that write rows."""
        return tuple(pass_ for pass_ in self.passes if pass_.writes_rows)

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in order."""
        return list(dict.fromkeys(shard.split for shard in self.shards))

    @property
    def num_rows(self) -> int | None:
        """Number of rows of all shards; None if any shard is not counted."""
        counts = [shard.num_rows for shard in self.shards]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def num_bytes(self) -> int:
        """Estimated text size of all shards, in bytes."""
        return sum(shard.num_bytes for shard in self.shards)

    def facts(self) -> dict[str, Any]:
        """Return everything but the version, the provenance and renamed files, as JSON values."""
        return {**self._source_facts(), **self.task.facts()}

    def _source_facts(self) -> dict[str, Any]:
        """Return the facts that do not belong to the task."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in _NO_FACTS}
        facts: dict[str, Any] = json.loads(json.dumps(values, default=asdict))
        facts["reading"].pop("renamed")
        for shard in facts["shards"]:
            if shard["chosen"] is None:
                del shard["chosen"]
        return facts

    def to_json(self) -> dict[str, Any]:
        """Return the content of `plan.json`."""
        facts = self._source_facts()
        if self.reading.renamed:
            facts["reading"]["renamed"] = self.reading.renamed
        return {
            "format": FORMAT,
            "version": self.version,
            "hash": self.content_hash,
            "provenance": self.provenance,
            "task": self.task.to_json(),
            **facts,
        }

    @classmethod
    def read(cls, content: bytes) -> Plan:
        """Read an untrusted `plan.json`.

        Raises:
            RunError: The file is not a complete, unchanged plan of a supported format; the message contains the JSON
                path of the problem.
        """
        try:
            values = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RunError(f"it is not JSON: {error}.") from error
        return cls.from_json(values)

    @classmethod
    def from_json(cls, values: Any) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            RunError: The values are not a valid plan; the message contains the JSON path of the problem.
        """
        if not isinstance(values, dict):
            raise RunError(f"it must be an object, not {in_json(values)}.")
        version = values.get("format")
        if version not in (1, FORMAT) or isinstance(version, bool):
            what = f"it is of format {in_json(version)}" if "format" in values else "it has no 'format'"
            raise RunError(f"{what}; this version reads 1 to {FORMAT}.")
        if version == 1:
            values = {name: value for name, value in values.items() if name not in _EDIT_FACTS_1} | {
                "task": {"kind": "edit", **{name: values[name] for name in _EDIT_FACTS_1 if name in values}}
            }
        if "hash" not in values:
            raise RunError("it has no 'hash'.")
        try:
            facts = {name: value for name, value in values.items() if name not in ("format", "hash")}
            if isinstance(facts.get("reading"), dict):
                facts["reading"] = {"renamed": {}, **facts["reading"]}  # written only if there are renamed files
            if isinstance(facts.get("shards"), list):  # likewise optional
                facts["shards"] = [
                    {"chosen": None, **shard} if isinstance(shard, dict) else shard for shard in facts["shards"]
                ]
            plan = from_json(facts, cls, complete=True)
            for name in plan.provenance.keys() & _PROVENANCE.keys():
                checked(plan.provenance[name], _PROVENANCE[name], f"provenance.{name}")
        except UsageError as error:
            raise RunError(str(error)) from error
        plan._check_shards()
        if plan.content_hash != values["hash"]:
            raise RunError(
                f"its hash does not fit: it was changed by hand, or planned by a version ({plan.version}) that this "
                f"one ({__version__}) does not understand."
            )
        return plan

    def _check_shards(self) -> None:
        """Refuse invalid shards and shards with duplicate names.

        Raises:
            RunError: A shard is invalid, or its name is a duplicate.
        """
        if not (self.files and self.shards):
            raise RunError(f"it has {len(self.files)} files and {len(self.shards)} shards.")
        names: dict[str, int] = {}
        for number, shard in enumerate(self.shards):
            if problem := shard.problem(self.files):
                raise RunError(f"shards[{number}]: {problem}.")
            if names.setdefault(shard.name, number) != number:
                raise RunError(f"shards[{number}] is {shard.name} again, as shards[{names[shard.name]}] is.")

    def differences(self, other: Plan) -> list[str]:
        """List the differences from another plan, worded as command line options: `--seed is 0 in the run and 5 here`.

        Differences that follow from others, such as other files of another source, are omitted.

        Args:
            other: The plan requested here.
        """
        if self.task.kind != other.task.kind:
            return [f"its rows are {self.task.done}, and would be {other.task.done} here"]
        return named_differences(self.facts(), other.facts(), self.task)
