"""JSON lines of which some columns are wanted, whatever the other fields hold, as Arrow tables of bounded size.

`datasets` reads JSON as well, but guesses the types of all fields, chunk by chunk and file by file: an object whose
fields differ from file to file does not fit then, and what looks like a date becomes one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import fsspec.compression
import fsspec.utils
import pyarrow as pa
from datasets import Features

from hf_toedit.sources.web import PART_BYTES, WebFile, is_web

JSON_LINES = "json-lines"
"""Name of the format in a plan."""

_CHUNK = 4 * 2**20


def json_tables(place: str, size: int, features: Features | None) -> Iterator[pa.Table]:
    """The rows of a file, in order.

    Args:
        place: path or URL.
        size: bytes of the file.
        features: of the columns that are wanted; one of type string holds values of other types as JSON. None is
            every column whose values are of one type.

    Raises:
        ValueError, TypeError: a line is no JSON object, or holds what does not fit.
    """
    number = 0
    with _opened(place, size) as lines:
        while chunk := lines.read(_CHUNK):
            rows = []
            for line in (chunk + lines.readline()).splitlines():
                number += 1
                if line.strip():
                    rows.append(_parsed(line, number))
            if rows:
                yield _inferred(rows) if features is None else _table(rows, features.arrow_schema)


def _opened(place: str, size: int) -> BinaryIO:
    """A file, decompressed."""
    raw: Any = io.BufferedReader(WebFile(place, size), PART_BYTES) if is_web(place) else fsspec.open(place, "rb").open()
    kind = fsspec.utils.infer_compression(urlsplit(place).path if is_web(place) else place)
    return fsspec.compression.compr[kind](raw, mode="rb") if kind else raw


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number} is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is no JSON object.")
    return row


def _table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([_array(rows, field) for field in schema], schema=schema)


def _array(rows: Sequence[dict[str, Any]], field: pa.Field) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    if field.type in (pa.string(), pa.large_string()):
        values = [
            value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for value in values
        ]
    try:
        return pa.array(values, field.type)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {field.name!r} does not fit its type, {field.type}: {error}") from error


def _inferred(rows: Sequence[dict[str, Any]]) -> pa.Table:
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (ValueError, TypeError):
            continue  # values of several types: it must be given one
    return pa.table(columns)
