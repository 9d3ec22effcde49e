"""JSON lines as Arrow tables of bounded size, with selected columns, regardless of the content of other fields.

`datasets` reads JSON as well, but infers the types of all fields, chunk by chunk and file by file: objects whose fields
differ between files then do not fit, and strings that look like dates become dates.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from datasets import Features

from hf_toedit.sources.compression import decompressed
from hf_toedit.sources.encoding import decoded

JSON_LINES = "json-lines"
"""Name of the format in a plan."""

_CHUNK = 4 * 2**20


def json_tables(place: str, size: int, features: Features | None) -> Iterator[pa.Table]:
    """Yield the rows of a file, in order.

    Args:
        place: Path or URL.
        size: Size of the file in bytes.
        features: Features of the wanted columns; a string column stores values of other types as JSON. None selects
            every column whose values have a single type.

    Raises:
        ValueError, TypeError: A line is not a JSON object, or has a value that does not fit.
    """
    number = 0
    with decompressed(place, size) as lines:
        while chunk := lines.read(_CHUNK):
            rows = []
            for line in (chunk + lines.readline()).splitlines():
                number += 1
                if line.strip():
                    rows.append(parsed(line, number))
            if rows:
                yield _inferred(rows) if features is None else _table(rows, features.arrow_schema)


def parsed(line: bytes, number: int) -> dict[str, Any]:
    """Parse the object on a line.

    Args:
        line: The bytes of the line.
        number: Number of the line, from 1.

    Raises:
        ValueError: The line is not UTF-8, not JSON, not an object, or (RepeatedKey) has a duplicate key.
    """
    try:
        row = json.loads(decoded(line, number).rstrip("\r\n"), object_pairs_hook=_object)
    except _Repeated as error:
        raise RepeatedKey(f"line {number} holds the key {error.args[0]!r} twice.") from error
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise ValueError(f"line {number} is not JSON: {what}, at its character {error.pos + 1:,}.") from error
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is not a JSON object.")
    return row


class RepeatedKey(ValueError):
    """A line has a duplicate key, of which only one value could be kept."""


class _Repeated(Exception):
    """An object has a duplicate key."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))
    return found


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
            continue  # values of several types: the column needs an explicit type
    return pa.table(columns)
