"""Detection of damaged files: cheap checks without reading rows, and a search for the fault if rows cannot be read."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Container
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow.parquet import FileMetaData

from hf_toedit.sources.compression import decompressed
from hf_toedit.sources.encoding import NotText, beginning, decoded
from hf_toedit.sources.json_lines import JSON_LINES, RepeatedKey, parsed
from hf_toedit.sources.model import Reading

_TEXT_FORMATS = {JSON_LINES, "json", "text", "csv", "conll", "xml", "tsfile", "fasta", "fastq"}
_DAMAGED = re.compile("utf-?8|offset|buffer", re.IGNORECASE)
_BEGINNING = 2**16
_LINE_BYTES = 2**26
_MOST_BYTES = 2**32
"""Maximum number of bytes in which a fault is searched."""


def repeated(schema: pa.Schema, columns: Container[str]) -> str | None:
    """Return a column, or a path of nested fields, whose name occurs more than once; None if there is none.

    Args:
        schema: Schema of a file.
        columns: Columns to check.
    """
    return _repeated([field for field in schema if field.name in columns])


def _repeated(fields: list[pa.Field]) -> str | None:
    counts = Counter(field.name for field in fields)
    for field in fields:
        if counts[field.name] > 1:
            return str(field.name)
        inner = [field.type.field(index) for index in range(field.type.num_fields)]
        if not pa.types.is_union(field.type) and (below := _repeated(inner)):
            return f"{field.name}.{below}"
    return None


def check_extent(footer: FileMetaData, size: int) -> None:
    """Refuse a Parquet file whose columns extend beyond its data, according to its footer: a part is missing.

    Args:
        footer: Footer of the file.
        size: Size of the file in bytes.

    Raises:
        ValueError: A column extends beyond the data.
    """
    end = size - footer.serialized_size - 8
    for number in sorted({0, footer.num_row_groups - 1} if footer.num_row_groups else set()):
        group = footer.row_group(number)
        for index in range(group.num_columns):
            column = group.column(index)
            start = column.dictionary_page_offset or column.data_page_offset
            if start + column.total_compressed_size > end:
                raise ValueError(
                    f"column {column.path_in_schema!r} of row group {number} ends at byte "
                    f"{start + column.total_compressed_size:,}, and the data of the file at {end:,}: a part is missing."
                )


def is_text(reading: Reading) -> bool:
    """Whether the files are text in UTF-8."""
    return reading.format in _TEXT_FORMATS and not reading.options.keys() & {"encoding", "encoding_errors"}


def check_file(place: str, size: int, reading: Reading) -> None:
    """Refuse a local file that does not begin as text, repeats a column there, or is a truncated Arrow file.

    Args:
        place: Path of the file.
        size: Size of the file in bytes.
        reading: How it is read.

    Raises:
        Exception: The problem with the file.
    """
    if reading.format == "arrow":
        _check_arrow(place)
    if not is_text(reading):
        return
    with decompressed(place, size) as stream:
        head = beginning(stream.read(_BEGINNING))
    if reading.format == "json":
        _check_keys(head)
    elif reading.format == "csv" and reading.options.keys() <= {"sep"}:
        _check_header(head, reading.options.get("sep", ","))


def check_values(table: pa.Table, row: int) -> None:
    """Refuse texts that are not UTF-8, and lists with damaged offsets, which would crash the process later.

    Args:
        table: Rows of a file.
        row: Index of the first of them in the file.

    Raises:
        ValueError: There are such values.
    """
    for name in table.column_names:
        try:
            table.column(name).validate(full=True)
        except pa.ArrowInvalid as error:
            if not _DAMAGED.search(str(error)):  # such as an unusual date, which Arrow keeps
                continue
            at = row + _first_invalid(table.column(name))
            raise ValueError(f"column {name!r} of row {at:,} (from 0) is damaged, or not UTF-8 ({error}).") from error


def _first_invalid(column: pa.ChunkedArray) -> int:
    """Return the first row of a column with an invalid value."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).validate(full=True)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _check_arrow(place: str) -> None:
    """Refuse an Arrow file that ends within a message. Only the message headers are read.

    Args:
        place: Path of the file.

    Raises:
        OSError, pa.ArrowInvalid: The file is truncated.
    """
    with pa.memory_map(place) as source:
        if source.read(6) == b"ARROW1":
            pa.ipc.open_file(source)
            return
        source.seek(0)
        for _ in pa.ipc.MessageReader.open_stream(source):
            pass


def _check_keys(head: str) -> None:
    """Refuse JSON lines with a duplicate key.

    Args:
        head: Beginning of the file; its last line may be incomplete.

    Raises:
        RepeatedKey: A line has a duplicate key.
    """
    for number, line in enumerate(head.split("\n"), start=1):
        try:
            parsed(line.encode(), number)
        except RepeatedKey:
            raise
        except ValueError:  # multi-line JSON, a blank line, or an error that the reader explains better
            continue


def _check_header(head: str, separator: str) -> None:
    """Refuse a CSV file with two columns of the same name: `datasets` would rename the second.

    Args:
        head: Beginning of the file.
        separator: Column separator.

    Raises:
        ValueError: There are such columns.
    """
    names = next((row for row in csv.reader(io.StringIO(head), delimiter=separator) if row), [])
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise ValueError(f"its header holds {twice[0]!r} twice. Rename one of the columns.")


def text_fault(place: str, size: int, is_json: bool) -> str:
    """Find the first line of a text file that is not UTF-8 or not JSON, and return advice; empty if there is none.

    A line of JSON with half of an escaped surrogate pair counts as not UTF-8.

    Args:
        place: Path or URL of the file.
        size: Size of the file in bytes.
        is_json: Whether each line should be a JSON object; ignored if the first line is not one.
    """
    try:
        with decompressed(place, size) as stream:
            return _line_fault(stream, is_json)
    except (OSError, EOFError):  # the reader met a different error first
        return ""


def _check_surrogates(row: dict[str, Any], number: int) -> None:
    r"""Refuse an object with half of an escaped pair, such as `\ud800`: JSON can write it, and UTF-8 cannot.

    Args:
        row: The object.
        number: Number of its line, from 1.

    Raises:
        NotText: There is such an escape.
    """
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        escape = json.dumps(error.object[error.start])[1:-1]
        raise NotText(
            f"line {number:,} holds the escape {escape}, half of a character, which UTF-8 cannot write. Remove it, or "
            f"write \\ufffd in its place."
        ) from error


def _line_fault(stream: BinaryIO, is_json: bool) -> str:
    number = num_bytes = 0
    while num_bytes < _MOST_BYTES and (line := stream.readline(_LINE_BYTES)):
        number += 1
        num_bytes += len(line)
        try:
            decoded(line, number)
            if is_json and line.strip():
                _check_surrogates(parsed(line, number), number)
        except NotText as error:
            return str(error)
        except ValueError as error:
            if number > 1 or isinstance(error, RepeatedKey):
                return f"{error} Fix the file, or name another."
            is_json = False
        if len(line) == _LINE_BYTES:
            break
    return ""
