"""Values inside the structs and lists of a table: found by path, read, and replaced without changing anything else.

A path starts with a column; `.` enters a struct and `[]` each item of a list (`meta.body`, `turns[].body`). A name that
contains these characters takes precedence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_toedit.errors import SourceError, did_you_mean

ITEMS = "[]"
"""Path step from a list to its items."""

_MOST_PATHS = 20
"""Maximum number of paths in an error message."""


class ValuePath(NamedTuple):
    """The location of the values of a path.

    Attributes:
        column: Column of the table.
        steps: Steps from the column's values to the values: field names or `ITEMS`.
        kind: Type of the values.
    """

    column: str
    steps: tuple[str, ...]
    kind: pa.DataType


class Values(NamedTuple):
    """All values at a path, in order; null if an enclosing struct is null.

    Attributes:
        array: The values.
        rows: Row of each value, int64 `[n]`.
        labels: Path of each individual value, such as `turns[1].body`.
    """

    array: pa.Array | pa.ChunkedArray
    rows: np.ndarray
    labels: list[str]


def find(schema: pa.Schema, path: str) -> ValuePath:
    """Find the location of a path; a column or field of only nulls, whose type is unknown, ends it early.

    Raises:
        SourceError: There is no such column, field or list.
    """
    kind: pa.DataType = pa.struct(list(schema))
    names: list[str] = []
    rest = path
    while not names or (rest and not pa.types.is_null(kind)):
        behind = path[: len(path) - len(rest)]
        if pa.types.is_struct(kind) and (not names or rest.startswith(".")):
            rest = rest[1:] if names else rest
            name = head(
                rest, [field.name for field in kind], f"{behind!r} has no field" if behind else "there is no column"
            )
            kind = kind.field(name).type
        elif rest.startswith(ITEMS) and is_list(kind):
            name, kind = ITEMS, kind.value_type
        else:
            raise SourceError(f"{behind!r} holds {kind_name(kind)}, so {rest!r} leads nowhere. {text_hint(schema)}")
        names.append(name)
        rest = rest.removeprefix(name)
    return ValuePath(names[0], tuple(names[1:]), kind)


def head(path: str, names: Collection[str], missing: str = "there is no column") -> str:
    """Return the column or field that a path starts with.

    Args:
        path: Path that starts with one of the names.
        names: Known names.
        missing: Beginning of the error message.

    Raises:
        SourceError: The path starts with none of the names.
    """
    fitting = [name for name in names if f"{path}.".startswith((f"{name}.", name + ITEMS))]
    if not fitting:
        wanted = re.split(r"\.|\[\]", path)[0]
        raise SourceError(f"{missing} {wanted!r}.{did_you_mean(wanted, names)}")
    return max(fitting, key=len)


def values_at(table: pa.Table, place: ValuePath) -> Values:
    """Read all values at a location."""
    chunks = table.column(place.column).chunks
    starts = np.cumsum([0, *map(len, chunks)])
    parts = [_walk(chunk, place) for chunk in chunks]
    return Values(
        pa.chunked_array([part.array for part in parts], type=parts[0].array.type if parts else place.kind),
        np.concatenate([np.arange(0), *(part.rows + start for part, start in zip(parts, starts, strict=False))]),
        [label for part in parts for label in part.labels],
    )


def with_values(table: pa.Table, place: ValuePath, values: Sequence[Any]) -> pa.Table:
    """Replace all values at a location.

    Args:
        table: The rows.
        place: Location in the table.
        values: New values, as many as there are.
    """
    index = table.column_names.index(place.column)
    chunks = []
    at = 0
    for chunk in table.column(index).chunks:
        stop = at + len(_walk(chunk, place).array)
        chunks.append(_rebuilt(chunk, place.steps, pa.array(values[at:stop], type=place.kind)))
        at = stop
    field = table.schema.field(index)
    return table.set_column(index, field, pa.chunked_array(chunks, type=field.type))


def text_hint(schema: pa.Schema) -> str:
    """Return the paths of all texts, as the end of an error message."""
    paths = [path for field in schema for path in _text_paths(field.type, field.name)]
    more = f" and {len(paths) - _MOST_PATHS} more" if len(paths) > _MOST_PATHS else ""
    return f"Text columns: {', '.join(paths[:_MOST_PATHS])}{more}." if paths else "The source has no text column."


def has_text(schema: pa.Schema) -> bool:
    """Whether a schema contains any text."""
    return any(True for field in schema for _ in _text_paths(field.type, field.name))


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are texts."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_like_text(kind: pa.DataType) -> bool:
    """Whether a type contains strings or their bytes, but is not a text type."""
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or (pa.types.is_dictionary(kind) and is_text(kind.value_type))
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether values of a type are lists whose items have paths; fixed-size lists have none."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


SEVERAL_TYPES = "values of several types"
"""Name of the type of a JSON column whose values differ in type, as `datasets` reads it."""


def kind_name(kind: pa.DataType) -> str:
    """Return the name of a type for a message."""
    if pa.types.is_struct(kind):
        return "a struct"
    if pa.types.is_fixed_size_list(kind):
        return "a list of fixed length"
    if isinstance(kind, pa.BaseExtensionType):
        return SEVERAL_TYPES if kind.extension_name == "arrow.json" else kind.extension_name
    return "a list" if is_list(kind) else str(kind)


def _walk(array: pa.Array, place: ValuePath) -> Values:
    """Return the values of one chunk, its rows counted from 0."""
    rows = np.arange(len(array))
    labels = [place.column] * len(array)
    for step in place.steps:
        if pa.types.is_null(array.type):
            break
        if pa.types.is_struct(array.type):
            array = pc.struct_field(array, array.type.get_field_index(step))
            labels = [f"{label}.{step}" for label in labels]
        else:
            lengths = _lengths(array)
            rows = np.repeat(rows, lengths)
            labels = [f"{label}[{at}]" for label, length in zip(labels, lengths, strict=True) for at in range(length)]
            array = array.flatten()
    return Values(array, rows, labels)


def _lengths(lists: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)


def _rebuilt(array: pa.Array, steps: tuple[str, ...], values: pa.Array) -> pa.Array:
    if not steps:
        return values
    step, *rest = steps
    if pa.types.is_struct(array.type):
        index = array.type.get_field_index(step)
        children = [array.field(other) for other in range(array.type.num_fields)]
        children[index] = _rebuilt(pc.struct_field(array, index), tuple(rest), values)
        return pa.StructArray.from_arrays(children, fields=list(array.type), mask=array.is_null())
    large = pa.types.is_large_list(array.type)
    offsets = np.concatenate([[0], np.cumsum(_lengths(array))]).astype(np.int64 if large else np.int32)
    items = _rebuilt(array.flatten(), tuple(rest), values)
    lists = pa.LargeListArray if large else pa.ListArray
    return lists.from_arrays(pa.array(offsets), items, type=array.type, mask=array.is_null())


def _text_paths(kind: pa.DataType, path: str) -> Iterator[str]:
    if is_text(kind):
        yield path
    elif is_list(kind):
        yield from _text_paths(kind.value_type, path + ITEMS)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _text_paths(field.type, f"{path}.{field.name}")
