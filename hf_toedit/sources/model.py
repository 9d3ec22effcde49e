"""Data model of a source: its planned files and how they are read. Data only."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]

SHARD_BYTES = 256 * 2**20
"""Default text size per shard, in bytes."""

_HERE = ("file", "local", "git")
"""Protocols of `fsspec` that read local files."""

_NO_CHAIN = ("http://", "https://", "hf://")
"""Beginnings of URLs that are read without a chain."""


class SourceFile(NamedTuple):
    """A file of the source, in its state at planning time.

    Attributes:
        path: Path relative to the plan's root, or a URL.
        size: Size in bytes.
        stamp: Fingerprint of the file (see `hf_toedit.fingerprint`), or the checksum that a store reports; for a web
            file, a number derived from its ETag; None if the path itself pins the content, or nothing does. For a local
            file, a number occurs only in a plan of 0.1.0: the modification time in nanoseconds.
    """

    path: str
    size: Count
    stamp: int | str | None

    @property
    def leads_here(self) -> bool:
        """Whether the path is a URL of a file on the machine that reads it, or a chain of URLs that leads to one."""
        if "://" not in self.path:
            return False
        parts = [self.path] if self.path.startswith(_NO_CHAIN) else self.path.split("::")
        return "://" not in parts[-1] or any(part.partition("://")[0] in _HERE for part in parts)


class FileExtent(NamedTuple):
    """The size of a file, for planning.

    Attributes:
        file: The file.
        num_rows: Number of rows, limited to those requested; None if counting would require opening the file.
        num_bytes: Estimated text size of these rows, in bytes.
        row_groups: First row of each row group, if the format has row groups.
    """

    file: SourceFile
    num_rows: int | None
    num_bytes: int
    row_groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How the files of a source are read as rows.

    Attributes:
        format: Module of `datasets` that reads the files (`parquet`, `json`, …), or `json-lines`.
        options: Settings of the module that differ from the defaults.
        root: Folder that paths are relative to; None if the paths are URLs. It may differ between machines.
        features: Features of the rows, as `Features.to_dict` returns them.
        renamed: Current paths of files whose path has changed since planning.
    """

    format: str
    options: dict[str, Any]
    root: str | None
    features: dict[str, Any]
    renamed: dict[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return the current location of a planned file: a local path (relative if the root is unknown), or a URL."""
        path = self.renamed.get(path, path)
        return path if self.root is None else os.path.join(self.root, path)

    def has_places_of(self, other: Reading) -> bool:
        """Whether another reading of the same source has its files in the same places."""
        return (self.root, self.renamed) == (other.root, other.renamed)

    @property
    def without_places(self) -> Reading:
        """The same reading without local paths, for other machines."""
        return replace(self, root=None, renamed={})
