"""The data model of a source: its files, as they were planned, and how they are read. Data only."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]

SHARD_BYTES = 256 * 2**20
"""Text that a shard aims at, where nothing else is asked for."""


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
    size: Count
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
