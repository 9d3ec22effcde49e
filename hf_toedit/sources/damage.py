"""What is wrong with a file, as far as that is found without reading its rows, and where, once they cannot be read."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Container
from typing import BinaryIO

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
"""How far a fault is looked for."""


def repeated(schema: pa.Schema, columns: Container[str]) -> str | None:
    """A column that several fields of a schema have the name of, or a path of fields in one; None where there is none.

    Args:
        schema: Of a file.
        columns: The columns that count.
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
    """Refuse a Parquet file of whose columns some begin or end outside of it, as its footer says: it lacks a part.

    Args:
        footer: Of the file.
        size: Its bytes.

    Raises:
        ValueError: It does.
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
    """Whether files are text in UTF-8."""
    return reading.format in _TEXT_FORMATS and not reading.options.keys() & {"encoding", "encoding_errors"}


def check_file(place: str, size: int, reading: Reading) -> None:
    """Refuse a file of this machine that begins as no text does, repeats a column there, or is an Arrow file cut short.

    Args:
        place: Its path.
        size: Its bytes.
        reading: How it is read.

    Raises:
        Exception: What is wrong with it.
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
    """Refuse texts that are not UTF-8, and lists whose bounds are damaged, which end in a crash later on.

    Args:
        table: Rows of a file.
        row: Of the file, the first of them.

    Raises:
        ValueError: There are such values.
    """
    for name in table.column_names:
        try:
            table.column(name).validate(full=True)
        except pa.ArrowInvalid as error:
            if not _DAMAGED.search(str(error)):  # such as a date that Arrow finds odd, and keeps
                continue
            at = row + _first_invalid(table.column(name))
            raise ValueError(f"column {name!r} of row {at:,} (from 0) is damaged, or not UTF-8 ({error}).") from error


def _first_invalid(column: pa.ChunkedArray) -> int:
    """The first row of a column that has a value that is not valid."""
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
    """Refuse an Arrow file that ends within one of its parts. Only the heads of the parts are read.

    Args:
        place: Its path.

    Raises:
        OSError, pa.ArrowInvalid: It does.
    """
    with pa.memory_map(place) as source:
        if source.read(6) == b"ARROW1":
            pa.ipc.open_file(source)
            return
        source.seek(0)
        for _ in pa.ipc.MessageReader.open_stream(source):
            pass


def _check_keys(head: str) -> None:
    """Refuse JSON lines of which one holds a key twice.

    Args:
        head: What the file begins with; its last line may be cut.

    Raises:
        RepeatedKey: One does.
    """
    for number, line in enumerate(head.split("\n"), start=1):
        try:
            parsed(line.encode(), number)
        except RepeatedKey:
            raise
        except ValueError:  # JSON of several lines, a blank line, or an error that the reader knows more about
            continue


def _check_header(head: str, separator: str) -> None:
    """Refuse a CSV file of which two columns have one name: `datasets` would give the second another name.

    Args:
        head: What the file begins with.
        separator: Of its columns.

    Raises:
        ValueError: There are such columns.
    """
    names = next((row for row in csv.reader(io.StringIO(head), delimiter=separator) if row), [])
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise ValueError(f"its header holds {twice[0]!r} twice. Rename one of the columns.")


def text_fault(place: str, size: int, is_json: bool) -> str:
    """Look for the first line of a text file that is not UTF-8, or not JSON, and say what to do; empty where none is.

    Args:
        place: Path or URL of the file.
        size: Its bytes.
        is_json: Whether each line is meant to be a JSON object; where the first is not one, it is not.
    """
    try:
        with decompressed(place, size) as stream:
            return _line_fault(stream, is_json)
    except (OSError, EOFError):  # the reader met another error before this one
        return ""


def _line_fault(stream: BinaryIO, is_json: bool) -> str:
    number = num_bytes = 0
    while num_bytes < _MOST_BYTES and (line := stream.readline(_LINE_BYTES)):
        number += 1
        num_bytes += len(line)
        try:
            decoded(line, number)
            if is_json and line.strip():
                parsed(line, number)
        except NotText as error:
            return str(error)
        except ValueError as error:
            if number > 1 or isinstance(error, RepeatedKey):
                return f"{error} Fix the file, or name another."
            is_json = False
        if len(line) == _LINE_BYTES:
            break
    return ""
