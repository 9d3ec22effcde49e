"""Reading the rows of planned files, as Arrow tables in bounded memory. `sources/source.py` finds the files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetBuilder, Features, load_dataset_builder
from pandas.errors import EmptyDataError

from hf_toedit.errors import SourceError, in_one_line
from hf_toedit.sources.damage import check_extent, check_file, check_values, is_text, repeated, text_fault
from hf_toedit.sources.encoding import NotText
from hf_toedit.sources.json_lines import JSON_LINES, json_tables
from hf_toedit.sources.model import Reading, SourceFile
from hf_toedit.sources.parquet import as_loaded
from hf_toedit.sources.row_groups import row_group_tables
from hf_toedit.sources.stamps import is_unchanged
from hf_toedit.sources.web import WebFile, is_web

FORMATS = {
    "arrow", "conll", "csv", "eval", "fasta", "fastq", "genbank", "hdf5", "json", "parquet", "text", "tsfile",
    "vortex", "webdataset", "xml",
}  # fmt: skip
"""Modules of `datasets` that can read each file independently."""

# Rows per table from `datasets`, regardless of their size. It divides the number of rows of its CSV chunks: column
# types may differ between chunks, which cannot share a table. Types of WebDataset rows may differ from row to row.
_STREAM_ROWS = 20
# Bytes read per column at a time: for remote files, requests cost more than memory.
_LOCAL_BUFFER, _REMOTE_BUFFER = 2**20, 8 * 2**20


# No `pre_buffer`, which would hold whole row groups; pages are verified if the file has checksums.
_OPENING = {"pre_buffer": False, "page_checksum_verification": True}


class RowReader:
    """Reads the rows of a source's files.

    Args:
        reading: How the files are read.

    Raises:
        SourceError: `datasets` does not support the features.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        try:
            self.features = Features.from_dict(reading.features)
            """Features of the rows."""
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"this version of `datasets` does not know the columns of the plan: {one_line(error)} Use the version "
                f"that they were planned with."
            ) from error
        self._schema = self.features.arrow_schema

    def tables(
        self, file: SourceFile, start: int = 0, stop: int | None = None, columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield rows `[start, stop)` of a file, in order, as tables of at most about 32 MB.

        Args:
            file: The file, as planned.
            start: First row.
            stop: Row after the last one; None means the end of the file.
            columns: Top-level columns; None means all.

        Raises:
            SourceError: The file is missing, has changed since planning, is damaged, has too few rows, or has rows that
                do not fit the features.
        """
        schema = self._schema
        if columns is not None:
            schema = Features({name: self.features[name] for name in columns}).arrow_schema
        try:
            self._check_unchanged(file)
            if self._is_parquet:
                first, rows = self._parquet_rows(file, start, schema.names)
            else:
                first, rows = 0, self._streamed_rows(file, self.features)
            end = None if stop is None else stop - first
            row = start
            for table in _cut(rows, start - first, end):
                table = _only(table, columns)
                check_values(table, row)
                yield as_loaded(table, schema)
                row += len(table)
        except SourceError:
            raise
        except Exception as error:
            unfit = isinstance(error, ValueError | TypeError | pa.ArrowNotImplementedError) and self._unfit(file)
            if unfit and not self._not_text(file, error):
                raise SourceError(
                    f"{self.place(file)} has rows that do not fit the source: {unfit}. Convert it, or leave it out."
                ) from error
            raise self._unreadable(file, error) from error

    def empty_table(self, columns: list[str]) -> pa.Table:
        """Return a table of these columns without rows."""
        return Features({name: self.features[name] for name in columns}).arrow_schema.empty_table()

    def infer(self, file: SourceFile) -> Features | None:
        """Infer the features of a file's first rows, regardless of those of the source; None if it has no rows.

        Raises:
            SourceError: The file cannot be read.
        """
        try:
            self._check_unchanged(file)
            if file.size == 0:
                return None
            if self._is_parquet:
                with self._open_parquet(file) as parquet:
                    return self._features_of(parquet.schema_arrow, file) if parquet.metadata.num_rows else None
            for table in self._streamed_rows(file, None):
                declared = None if self._is_json_lines else self._builder.info.features
                return declared or Features.from_arrow_schema(table.schema)
            return None
        except SourceError:
            raise
        except Exception as error:
            raise self._unreadable(file, error) from error

    def footer(self, file: SourceFile) -> pq.FileMetaData | None:
        """Read the footer of a Parquet file; None for other formats and for an empty file.

        Raises:
            SourceError: The file cannot be read.
        """
        if not self._is_parquet or file.size == 0:
            return None
        try:
            with self._open_parquet(file) as parquet:
                check_extent(parquet.metadata, file.size)
                return parquet.metadata
        except SourceError:
            raise
        except Exception as error:
            raise self._unreadable(file, error) from error

    def check(self, file: SourceFile) -> None:
        """Check, if it is cheap, whether a file of another format is damaged or not UTF-8.

        For a local file, its beginning is read; for an Arrow file, its message headers.

        Raises:
            SourceError: The file is damaged or not UTF-8.
        """
        place = self.place(file)
        if self._is_parquet or file.size == 0 or "://" in place:
            return
        try:
            check_file(place, file.size, self._reading)
        except Exception as error:
            raise self._unreadable(file, error) from error

    def _not_text(self, file: SourceFile, error: Exception) -> str:
        """Search a text file for a fault and return it with advice; empty if none is found."""
        if isinstance(error, NotText):
            return str(error)
        if not (is_text(self._reading) and isinstance(error, ValueError)):
            return ""
        if self._is_json_lines and not isinstance(error.__cause__, UnicodeEncodeError):
            return ""  # their reader names the line itself, except of half a character
        return text_fault(self.place(file), file.size, is_json=self._reading.format in (JSON_LINES, "json"))

    def _features_of(self, schema: pa.Schema, file: SourceFile) -> Features:
        """Return the features of a file's columns; an error names the unsupported column."""
        try:
            return Features.from_arrow_schema(schema)
        except ValueError:
            for field in schema:
                try:
                    Features.from_arrow_schema(pa.schema([field]))
                except ValueError as error:
                    raise SourceError(
                        f"column {field.name!r} of {self.place(file)} is {field.type}, which `datasets` cannot read. "
                        f"Cast the column to another type in the source, or remove it there, and plan again."
                    ) from error
            raise

    @property
    def _is_parquet(self) -> bool:
        """Whether pyarrow reads the files directly; options such as filters are left to `datasets`."""
        return self._reading.format == "parquet" and not self._reading.options

    @property
    def _is_json_lines(self) -> bool:
        return self._reading.format == JSON_LINES

    def place(self, file: SourceFile) -> str:
        """Return the path or URL of a file."""
        return self._reading.place(file.path)

    def _check_unchanged(self, file: SourceFile) -> None:
        place = self.place(file)
        if self._reading.root is None and "://" not in place:
            raise SourceError(
                f"{place} is on the machine that planned this run, and a plan from the Hub does not name it. "
                f"Continue on that machine, or plan a new run."
            )
        if not is_unchanged(place, file):
            raise SourceError(f"{place} has changed since it was planned. Plan a new run, in another folder.")

    def _open_parquet(self, file: SourceFile) -> pq.ParquetFile:
        """Open a Parquet file, and check that no column of the source is repeated."""
        parquet = self._opened_parquet(file)
        if twice := repeated(parquet.schema_arrow, self.features):
            parquet.close()
            raise SourceError(
                f"{self.place(file)} has several columns named {twice!r}. Rename or remove one in the file, or leave "
                f"it out with --columns."
            )
        return parquet

    def _opened_parquet(self, file: SourceFile) -> pq.ParquetFile:
        place = self.place(file)
        if "://" not in place:
            return pq.ParquetFile(place, buffer_size=_LOCAL_BUFFER, **_OPENING)
        if is_web(place):
            return pq.ParquetFile(WebFile(place, file.size), buffer_size=_REMOTE_BUFFER, **_OPENING)
        system, path = fsspec.url_to_fs(place)
        known = {"size": file.size} if place.startswith("hf://datasets/") else {}  # else its folder would be listed
        opened = system.open(path, "rb", cache_type="none", **known)
        return pq.ParquetFile(opened, buffer_size=_REMOTE_BUFFER, **_OPENING)

    def _parquet_rows(self, file: SourceFile, start: int, columns: list[str]) -> tuple[int, Iterator[pa.Table]]:
        """Return the first row of the row group of row `start`, and the rows of the file from there on."""
        if file.size == 0:
            return 0, iter(())
        parquet = self._open_parquet(file)
        first = group = 0
        while group < parquet.num_row_groups and first + parquet.metadata.row_group(group).num_rows <= start:
            first += parquet.metadata.row_group(group).num_rows
            group += 1
        return first, _closing(parquet, row_group_tables(parquet, range(group, parquet.num_row_groups), columns))

    def _streamed_rows(self, file: SourceFile, features: Features | None) -> Iterator[pa.Table]:
        """Yield all rows of a file, read by `datasets`; without features, their types are inferred."""
        if file.size == 0:
            return
        if self._is_json_lines:
            yield from json_tables(self.place(file), file.size, features)
            return
        builder = self._builder
        builder.config.data_files = {"train": [self.place(file)]}
        builder.info.features = features
        try:
            rows = builder.as_streaming_dataset("train").with_format("arrow")
            size = 1 if self._reading.format == "webdataset" else _STREAM_ROWS
            yield from (table for table in rows.iter(batch_size=size) if len(table))
        except (EmptyDataError, StopIteration):
            return  # how pandas and the JSON reader signal an empty compressed file

    @cached_property
    def _builder(self) -> DatasetBuilder:
        """Builder that reads one file after the other; created once, as that takes longer than reading a small file.

        Raises:
            SourceError: The format is not one that planning selects. A plan is untrusted, and `datasets` would treat
                other names as code to fetch from the Hub, or as data to unpickle.
        """
        if self._reading.format not in FORMATS:
            raise SourceError(f"the format {self._reading.format!r} cannot be read. Plan a new run.")
        with TemporaryDirectory() as scratch:
            placeholder = Path(scratch, "rows")
            placeholder.touch()
            return load_dataset_builder(
                self._reading.format,
                data_files=glob.escape(str(placeholder)),
                cache_dir=scratch,
                **self._reading.options,
            )

    def _unreadable(self, file: SourceFile, error: Exception) -> SourceError:
        place = self.place(file)
        if isinstance(error, FileNotFoundError) and ("://" in place or not os.path.exists(place)):
            return SourceError(f"{place} is missing. Restore it, or plan a new run.")
        if fault := self._not_text(file, error):
            return SourceError(f"cannot read {place}: {fault}")
        return SourceError(f"cannot read {place}: {one_line(error)} Fix the file, or name another.")

    def _unfit(self, file: SourceFile) -> str:
        """Describe the columns of a file that differ from the source; empty if none is visible."""
        if self._is_json_lines:
            return ""  # the error contains what does not fit
        try:
            found = self.infer(file) or {}
        except SourceError:
            return ""
        return ", ".join(
            f"{name!r} holds {_kind(feature)}, "
            + (f"not {_kind(self.features[name])}" if name in self.features else "and is not a column of the source")
            for name, feature in found.items()
            if self.features.get(name) != feature and (name in self.features or not self._is_parquet)
        )


def one_line(error: BaseException) -> str:
    """Return the message of a library's error, shortened to one sentence."""
    return in_one_line(error).removesuffix(".") + "."


def _closing(parquet: pq.ParquetFile, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the tables of a file, and close the file after the last one."""
    with parquet:
        yield from tables


def _cut(tables: Iterable[pa.Table], start: int, stop: int | None) -> Iterator[pa.Table]:
    """Yield rows `[start, stop)` of tables."""
    first = 0
    for table in tables:
        begin, end = max(start - first, 0), len(table) if stop is None else min(stop - first, len(table))
        if begin < end:
            yield table.slice(begin, end - begin)
        first += len(table)
        if stop is not None and first >= stop:
            return
    if stop is not None and stop > first:
        raise EOFError(f"the rows end {stop - first} rows too early.")


def _only(table: pa.Table, columns: list[str] | None) -> pa.Table:
    """Select the requested columns that the table has; missing ones become null later, as in `datasets`."""
    return table if columns is None else table.select([name for name in columns if name in table.column_names])


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) or type(feature).__name__.lower())
