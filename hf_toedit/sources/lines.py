"""Random access to the lines of line-based files, and their conversion to rows."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import fsspec
import fsspec.compression
import numpy as np
import pyarrow as pa

from hf_toedit.errors import SourceError
from hf_toedit.sources.compression import compression
from hf_toedit.sources.json_lines import JSON_LINES
from hf_toedit.sources.model import Reading, SourceFile
from hf_toedit.sources.reading import RowReader
from hf_toedit.sources.web import WebFile, is_web

_FORMATS = (JSON_LINES, "json", "text")
_BUFFER, _STREAM_BUFFER = 2**16, 2**20
_BACK = 2**16


class Window(NamedTuple):
    """The lines that overlap a range of bytes.

    Attributes:
        start: Offset of the first byte of the first line.
        lines: Complete lines.
        shares: Fraction of each line in the range, float64 `[lines]`.
    """

    start: int
    lines: list[bytes]
    shares: np.ndarray


class NotLines(Exception):
    """Lines cannot be read, or are not one row each; the reader of the run may succeed, or give the reason."""


class LineReader:
    """Reads lines of a source's files. A context manager: it owns a temporary folder for lines to parse.

    Args:
        reading: How the source is read.
        columns: Top-level columns to read.
    """

    def __init__(self, reading: Reading, columns: Sequence[str]) -> None:
        self._reading = reading
        self._reader = RowReader(reading)
        self._columns = list(columns)
        self._stack = ExitStack()

    def __enter__(self) -> LineReader:
        """Create the temporary folder."""
        self._scratch = Path(self._stack.enter_context(TemporaryDirectory(prefix="hf-toedit-")))
        self._parser = RowReader(replace(self._reading, root=str(self._scratch)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the temporary folder."""
        self._stack.close()

    def compression(self, file: SourceFile) -> str | None:
        """Return the compression of a file by its name, as `fsspec` calls it; None if it is not compressed."""
        return compression(self._reader.place(file))

    def holds_lines(self, file: SourceFile) -> bool:
        """Whether each line of a file is a row, as far as the first line shows."""
        if self._reading.format not in _FORMATS or self._reading.options:
            return False
        if self.compression(file) == "zip":  # it may contain several files
            return False
        try:
            with self.opened(file) as (lines, _):
                first = lines.readline()
        except NotLines:
            return False
        return self._reading.format == "text" or _is_object(first)

    @contextmanager
    def opened(self, file: SourceFile) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Open a file; yield its decompressed stream and its raw stream.

        Raises:
            NotLines: The file cannot be opened or read.
        """
        kind = self.compression(file)
        try:
            with _stored(self._reader.place(file), file.size, _STREAM_BUFFER if kind else _BUFFER) as stored:
                yield (fsspec.compression.compr[kind](stored, mode="rb") if kind else stored), stored
        except NotLines:
            raise
        except Exception as error:  # errors of any underlying library
            raise NotLines from error

    def window(self, lines: BinaryIO, low: int, high: int) -> Window:
        """Return the lines that overlap bytes `[low, high)` of a file."""
        lines.seek(_line_start(lines, low))
        found, bounds = [], [lines.tell()]
        while bounds[-1] < high and (line := lines.readline()):
            found.append(line)
            bounds.append(bounds[-1] + len(line))
        starts, ends = np.array(bounds[:-1]), np.array(bounds[1:])
        shares = (np.minimum(ends, high) - np.maximum(starts, low)) / (ends - starts)
        kept = [index for index, line in enumerate(found) if self._is_row(line)]
        return Window(bounds[0], [found[index] for index in kept], shares[kept])

    def next_lines(self, lines: BinaryIO, num_bytes: int) -> list[bytes]:
        """Return the next lines that are rows, of at least `num_bytes` bytes in total; empty at the end of the file."""
        while read := lines.read(num_bytes):
            found = [line for line in io.BytesIO(read + lines.readline()) if self._is_row(line)]
            if found:
                return found
        return []

    def _is_row(self, line: bytes) -> bool:
        """Whether a line is a row: blank lines are not rows of JSON."""
        return self._reading.format == "text" or bool(line.strip())

    def tables(self, parts: Sequence[Sequence[bytes]]) -> list[pa.Table]:
        """Parse lines into rows, in the same way as the lines of a file.

        Args:
            parts: Lines of each table.

        Raises:
            NotLines: The lines are not one row each, as the run reads them.
        """
        counts = [len(part) for part in parts]
        scratch = self._scratch / "rows"
        scratch.write_bytes(b"".join(line.rstrip(b"\r\n") + b"\n" for part in parts for line in part))
        found = scratch.stat()
        file = SourceFile(scratch.name, found.st_size, found.st_mtime_ns)
        try:
            read = list(self._parser.tables(file, columns=self._columns))
        except SourceError as error:
            raise NotLines from error
        rows = pa.concat_tables([self._parser.empty_table(self._columns), *read])
        if len(rows) != sum(counts):
            raise NotLines
        starts = np.cumsum([0, *counts]).tolist()
        return [rows.slice(start, count) for start, count in zip(starts, counts, strict=False)]


def _stored(place: str, size: int, buffer: int) -> BinaryIO:
    """Open the stored bytes of a file, requested in small parts if it is remote."""
    if "://" not in place:
        return open(place, "rb", buffering=buffer)
    if is_web(place):
        return io.BufferedReader(WebFile(place, size), buffer)
    system, path = fsspec.url_to_fs(place)
    known = {"size": size} if place.startswith("hf://datasets/") else {}
    raw: Any = system.open(path, "rb", cache_type="none", **known)
    return io.BufferedReader(raw, buffer)


def _line_start(lines: BinaryIO, place: int) -> int:
    """Return the offset of the line that contains a position."""
    back = _BACK
    while place:
        begin = max(place - back, 0)
        lines.seek(begin)
        newline = lines.read(place - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        if begin == 0:
            break
        back *= 4
    return 0


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
