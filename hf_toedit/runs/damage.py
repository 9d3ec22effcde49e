"""What is wrong with a file, as far as that is found without reading its rows, and where, once they cannot be read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Container
from typing import BinaryIO

import pyarrow as pa
from pyarrow.parquet import FileMetaData

from hf_toedit.runs.encoding import NotText, decoded
from hf_toedit.runs.json_lines import RepeatedKey, parsed

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


def first_invalid(column: pa.ChunkedArray) -> int:
    """The first row of a column with a value that is not valid; there is one."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).validate(full=True)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def check_arrow(place: str) -> None:
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


def check_keys(beginning: str) -> None:
    """Refuse JSON lines of which one holds a key twice.

    Args:
        beginning: Of the file; its last line may be cut.

    Raises:
        RepeatedKey: One does.
    """
    for number, line in enumerate(beginning.split("\n"), start=1):
        try:
            parsed(line.encode(), number)
        except RepeatedKey:
            raise
        except ValueError:  # JSON of several lines, a blank line, or an error that the reader knows more about
            continue


def check_header(beginning: str, separator: str) -> None:
    """Refuse a CSV file of which two columns have one name: `datasets` would give the second another name.

    Args:
        beginning: Of the file.
        separator: Of its columns.

    Raises:
        ValueError: There are such columns.
    """
    names = next((row for row in csv.reader(io.StringIO(beginning), delimiter=separator) if row), [])
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise ValueError(f"its header holds {twice[0]!r} twice. Rename one of the columns.")


def text_fault(stream: BinaryIO, is_json: bool) -> str:
    """Look for the first line of a text file that is not UTF-8, or not JSON, and say what to do; empty where none is.

    Args:
        stream: The file.
        is_json: Whether each line is meant to be a JSON object; where the first is not one, it is not.
    """
    number = 0
    while (line := stream.readline(_LINE_BYTES)) and stream.tell() < _MOST_BYTES:
        number += 1
        try:
            decoded(line, number)
            if is_json and line.strip():
                parsed(line, number)
        except NotText as error:
            return str(error)
        except ValueError as error:
            is_json = number > 1
            if is_json:
                return f"{error} Mend the file, or name another."
        if len(line) == _LINE_BYTES:
            return ""
    return ""
