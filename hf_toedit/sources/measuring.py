"""Measuring the rows and text of a source's files, without reading more than planning needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import PurePosixPath

import pyarrow.parquet as pq

from hf_toedit.sources.model import FileExtent, SourceFile
from hf_toedit.sources.reading import RowReader
from hf_toedit.sources.row_groups import column_bytes

_MANY_FILES = 1000
_SAMPLED_FILES = 20
_SAMPLED_ROWS = 1000
_SAMPLED_BYTES = 64 * 2**20
_THREADS = 16
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip")
_COMPRESSION_RATIO = 3


def measure(
    reader: RowReader, files: Sequence[SourceFile], columns: Sequence[str], target: Callable[[int], float]
) -> list[FileExtent]:
    """Measure files for planning; rows are counted in files that must be cut.

    Args:
        reader: Reader of the files.
        files: Files, in order.
        columns: Top-level columns whose bytes count as text.
        target: Returns the text size of a shard, given the text size of all files.

    Raises:
        SourceError: A file that is opened cannot be read.
    """
    sampled = spread(files, _SAMPLED_FILES) if len(files) > _MANY_FILES else files
    footers = _footers(reader, sampled)
    known = {file: _of_footer(file, footer, columns) for file, footer in footers.items()}
    if known:
        share = sum(extent.num_bytes for extent in known.values()) / max(sum(file.size for file in known), 1)
    else:
        share = _text_share(reader, files, columns)
    extents = [known.get(file) or FileExtent(file, None if file.size else 0, _estimate(file, share)) for file in files]
    size = target(sum(extent.num_bytes for extent in extents))
    large = [extent.file for extent in extents if extent.num_rows is None and extent.num_bytes > size]
    counted = {file: _of_footer(file, footer, columns) for file, footer in _footers(reader, large).items()}
    counted |= {file: _count(reader, file, columns, None) for file in large if file not in counted}
    return [counted.get(extent.file, extent) for extent in extents]


def measure_first(
    reader: RowReader, files: Sequence[SourceFile], columns: Sequence[str], limit: int
) -> list[FileExtent]:
    """Measure the files that contain the first rows; the last extent is cut to the rows that are needed.

    Args:
        reader: Reader of the files.
        files: Files, in order.
        columns: Top-level columns whose bytes count as text.
        limit: Number of rows.

    Raises:
        SourceError: A file that is opened cannot be read.
    """
    extents: list[FileExtent] = []
    for file in files:
        if limit <= 0:
            break
        footer = _footer(reader, file)
        extent = _count(reader, file, columns, limit) if footer is None else _of_footer(file, footer, columns)
        num_rows = extent.num_rows or 0
        if num_rows > limit:
            extent = extent._replace(
                num_rows=limit,
                num_bytes=extent.num_bytes * limit // num_rows,
                row_groups=tuple(row for row in extent.row_groups if row < limit),
            )
        extents.append(extent)
        limit -= num_rows
    return extents


def spread(files: Sequence[SourceFile], count: int) -> list[SourceFile]:
    """Return at most `count` files, evenly spread, including the first one."""
    return list(files[:: max(1, -(-len(files) // count))])


def _footers(reader: RowReader, files: Sequence[SourceFile]) -> dict[SourceFile, pq.FileMetaData]:
    """Return the footers of the files that have one."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(files, pool.map(partial(_footer, reader), files), strict=True))
    return {file: footer for file, footer in found.items() if footer is not None}


def _footer(reader: RowReader, file: SourceFile) -> pq.FileMetaData | None:
    """Return the footer of a file; a file without one is checked for readability instead."""
    reader.check(file)
    return reader.footer(file)


def _of_footer(file: SourceFile, footer: pq.FileMetaData, columns: Sequence[str]) -> FileExtent:
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    num_bytes = sum(column_bytes(group, columns) for group in groups)
    first_rows = accumulate((group.num_rows for group in groups[:-1]), initial=0)
    return FileExtent(file, footer.num_rows, num_bytes, tuple(first_rows) if groups else ())


def _count(reader: RowReader, file: SourceFile, columns: Sequence[str], limit: int | None) -> FileExtent:
    """Count the rows and text of a file, up to its end or the first `limit` rows, by reading it."""
    num_rows = num_bytes = 0
    for table in reader.tables(file, columns=list(columns)):
        if limit is not None:
            table = table.slice(0, limit - num_rows)
        num_rows += len(table)
        num_bytes += table.nbytes
        if num_rows == limit:
            break
    return FileExtent(file, num_rows, num_bytes)


def _text_share(reader: RowReader, files: Sequence[SourceFile], columns: Sequence[str]) -> float:
    """Return the fraction of text bytes among all bytes, measured on the first rows."""
    text = total = num_rows = 0
    for table in (table for file in files for table in reader.tables(file)):
        text += table.select(list(columns)).nbytes
        total += table.nbytes
        num_rows += len(table)
        if num_rows >= _SAMPLED_ROWS or total >= _SAMPLED_BYTES:
            break
    return text / total if total else 1.0


def _estimate(file: SourceFile, share: float) -> int:
    compressed = PurePosixPath(file.path).suffix.lower() in _COMPRESSED
    return round(file.size * share * (_COMPRESSION_RATIO if compressed else 1))
