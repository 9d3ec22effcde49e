"""The immutable plan of a run: what is edited, by which prior, how, and as which shards.

Pure data: how a source is found and measured is `runs/source.py`, how it is cut into shards `runs/planning.py`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig, content_hash

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

    from hf_toedit.runs.reading import RowReader

PLAN = Path("toedit/plan.json")
"""Where a run folder keeps its plan."""

FORMAT = 1
"""Version of `plan.json`."""

SHARD_BYTES = 256 * 2**20
"""Text that a shard aims at, where nothing else is asked for."""

_SHOWN = 100
"""Characters of a value that a message shows."""

MAX_SHARDS = 100_000
"""Of a split: as many as keep their order when their names are sorted."""


class SourceFile(NamedTuple):
    """A file of the source, as it was when it was planned.

    Attributes:
        path: relative to the plan's root, or a URL.
        size: bytes.
        stamp: its fingerprint (see `hf_toedit.fingerprint`), or the checksum that a store tells of it; a number made of
            its ETag where it is on the web; None where the path itself pins what it holds, or nothing does. A number of
            a local file is of a plan of 0.1.0: when the file changed last, nanoseconds.
    """

    path: str
    size: int
    stamp: int | str | None


class FileExtent(NamedTuple):
    """What planning knows of a file.

    Attributes:
        file: the file.
        num_rows: its rows, at most those that are asked for; None where finding out would mean opening it.
        num_bytes: of text in them, estimated.
        row_groups: first row of each of its row groups, where the format has such.
    """

    file: SourceFile
    num_rows: int | None
    num_bytes: int
    row_groups: tuple[int, ...] = ()


class Piece(NamedTuple):
    """Rows `[start, stop)` of a file of the plan; to its end where `stop` is None."""

    file: int
    start: int
    stop: int | None


@dataclass(frozen=True)
class Shard:
    """The unit of work, and one output file a generation.

    Attributes:
        split: of the source.
        index: among the shards of the split.
        count: shards of the split.
        num_rows: rows it holds; None where planning did not count them.
        num_bytes: of text, estimated.
        pieces: its rows, in order.
    """

    split: str
    index: int
    count: int
    num_rows: int | None
    num_bytes: int
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """File name without its ending, as `datasets` names shards."""
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}"

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Shard:
        """Read what `Plan.to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it did not; among others, its name would lead out of the run folder.
        """
        shard = cls(**{**values, "pieces": tuple(Piece(*piece) for piece in values["pieces"])})
        if PurePath(shard.name).name != shard.name:
            raise ValueError(f"{shard.split!r} is no name of a split")
        return shard


@dataclass(frozen=True)
class Reading:
    """How the files of a source become rows.

    Attributes:
        format: the module of `datasets` that reads them (`parquet`, `json`, …), or `json-lines`.
        options: its settings where they are not the default ones.
        root: folder that paths are relative to; None where they are URLs. It may differ from machine to machine.
        features: of the rows, as `Features.to_dict` gives them.
        renamed: paths of files that are another one now than they were when they were planned.
    """

    format: str
    options: dict[str, Any]
    root: str | None
    features: dict[str, Any]
    renamed: dict[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Where a planned file is now: a path of this machine (relative if the root is not known), or a URL."""
        path = self.renamed.get(path, path)
        return path if self.root is None else os.path.join(self.root, path)

    def has_places_of(self, other: Reading) -> bool:
        """Whether files are where they are by another reading of the same source."""
        return (self.root, self.renamed) == (other.root, other.renamed)

    @property
    def without_places(self) -> Reading:
        """The same for other machines: where local files are is left out."""
        return replace(self, root=None, renamed={})


@dataclass(frozen=True)
class Plan:
    """What a run will do, resolved: nothing in it depends on when, where or in which order it is done.

    Attributes:
        source: settings of the source.
        source_revision: pins it.
        reading: how its files are read.
        prior: settings of the prior.
        prior_revision: pins it.
        edit: how tokens are edited.
        run: generations and log column.
        files: of the source.
        shards: in order.
        version: of hf-toedit that planned it.
        provenance: what a card tells of how it came about, see `runs/provenance.py`.
    """

    source: SourceConfig
    source_revision: str
    reading: Reading
    prior: PriorConfig
    prior_revision: str
    edit: EditConfig
    run: RunConfig
    files: tuple[SourceFile, ...]
    shards: tuple[Shard, ...]
    version: str
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all that decides what a generation holds.

        The device, the version and where the files are now are not among it; nor is how many generations there are, so
        that a run can be given a further one.
        """
        facts = self.facts()
        facts["prior"].pop("device")
        facts["reading"].pop("root")
        facts["run"].pop("generations")
        facts["run"].pop("score_result")
        return content_hash(facts)

    @cached_property
    def reader(self) -> RowReader:
        """Reads the files of the source."""
        from hf_toedit.runs.reading import RowReader

        return RowReader(self.reading)

    @cached_property
    def output_features(self) -> Features:
        """Of the rows that the run writes."""
        from hf_toedit.runs.rows import output_features
        from hf_toedit.runs.texts import Texts

        return output_features(self.reader.features, Texts(self.source), self.run.edit_log_column)

    @cached_property
    def output_schema(self) -> pa.Schema:
        """The same as Arrow has it."""
        return self.output_features.arrow_schema

    def schema_of(self, columns: list[str] | None) -> pa.Schema:
        """The same of some columns, in their order; None is all."""
        if columns is None:
            return self.output_schema
        features = self.output_features
        return type(features)({name: features[name] for name in columns}).arrow_schema

    @property
    def generations(self) -> range:
        """1 to the last."""
        return range(1, self.run.generations + 1)

    @property
    def num_passes(self) -> int:
        """How often a row is read: in every generation and, where that is asked for, in the end."""
        return self.run.generations + self.run.score_result

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in order."""
        return list(dict.fromkeys(shard.split for shard in self.shards))

    @property
    def num_rows(self) -> int | None:
        """Rows of all shards; None where one is not counted."""
        counts = [shard.num_rows for shard in self.shards]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def num_bytes(self) -> int:
        """Text of all shards, estimated."""
        return sum(shard.num_bytes for shard in self.shards)

    def facts(self) -> dict[str, Any]:
        """Everything but the version, the provenance and new names of files, as JSON values."""
        facts = json.loads(json.dumps(asdict(self)))
        facts["reading"].pop("renamed")
        facts.pop("version")
        facts.pop("provenance")
        return facts

    def to_json(self) -> dict[str, Any]:
        """What `plan.json` holds."""
        facts = self.facts()
        if self.reading.renamed:
            facts["reading"]["renamed"] = self.reading.renamed
        return {
            "format": FORMAT,
            "version": self.version,
            "hash": self.content_hash,
            "provenance": self.provenance,
            **facts,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        return cls(
            source=SourceConfig(**values["source"]),
            source_revision=values["source_revision"],
            reading=Reading(**values["reading"]),
            prior=PriorConfig(**values["prior"]),
            prior_revision=values["prior_revision"],
            edit=EditConfig(**values["edit"]),
            run=RunConfig(**values["run"]),
            files=tuple(SourceFile(*file) for file in values["files"]),
            shards=tuple(Shard.from_json(shard) for shard in values["shards"]),
            version=values["version"],
            provenance=values["provenance"],
        )

    def differences(self, other: Plan) -> list[str]:
        """Where another plan differs, in the words of the command line: `--seed is 0 in the run and 5 here`.

        What follows from another difference, as other files do from another source, is left out.

        Args:
            other: The plan that is asked for here.
        """
        mine, theirs = _flat(self.facts()), _flat(other.facts())
        names = [
            name
            for name in dict.fromkeys([*mine, *theirs])
            if name not in ("prior.device", "reading.root") and mine.get(name) != theirs.get(name)
        ]
        said = [_told(name, mine.get(name), theirs.get(name)) for name in names if name.startswith(_SETTINGS)]
        said += [
            phrase
            for parts, causes, phrase in _CONSEQUENCES
            if any(name.startswith(parts) for name in names) and not any(name.startswith(causes) for name in names)
        ]
        counts = len(self.shards), len(other.shards)
        return [
            f"{phrase}: {counts[0]:,} in the run and {counts[1]:,} here"
            if phrase == _CUT and counts[0] != counts[1]
            else phrase
            for phrase in said
        ]


_SETTINGS = ("source.", "prior.", "edit.", "run.")
_OPTIONS = {
    "source.source": "SOURCE",
    "source.text_columns": "--text-column",
    "prior.revision": "--prior-revision",
}
"""Settings that are not named as their option on the command line."""

_CHOICE = ("source.source", "source.config_name", "source.split", "source.revision")
_CUT = "--shard-size or --num-shards cut other shards"
_CONSEQUENCES: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("source_revision", "files"), _CHOICE, "the files of the source differ"),
    (("reading.",), (*_CHOICE, "source.columns", "source_revision", "files"), "the columns of the source differ"),
    (("prior_revision",), ("prior.prior", "prior.revision"), "the files of the prior differ"),
    (("shards",), ("source.", "source_revision", "files", "reading."), _CUT),
)
"""What is no setting: its parts in a plan, the parts that it follows from, and how its difference is reported."""


def _told(name: str, mine: Any, theirs: Any) -> str:
    option = _OPTIONS.get(name) or "--" + name.partition(".")[2].replace("_", "-")
    if isinstance(mine, bool):
        return f"{option} is {_given(mine)} in the run and {_given(theirs)} here"
    return f"{option} is {_short(mine)} in the run and {_short(theirs)} here"


def _given(flag: Any) -> str:
    return "given" if flag else "not given"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and name not in ("features", "options")
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _short(value: Any) -> str:
    """A value as the command line has it; of one too long to read, its start."""
    if value is None or value == []:
        return "not given"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
