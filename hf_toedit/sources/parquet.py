"""Conversion of rows to and from Parquet: types that it changes, types that it cannot store, and equality of values.

For example, Parquet has no seconds: `timestamp[s]` is read back as `timestamp[ms]`. The features of a run define the
types of its rows, and `load_dataset` casts the rows of a file to them; the functions here do the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Features
from datasets.table import array_cast, table_cast

from hf_toedit.errors import SourceError, in_one_line

# Content-defined chunking lets the Hub's storage deduplicate the unedited part of two generations.
WRITING: dict[str, Any] = {"compression": "zstd", "use_content_defined_chunking": True}
"""Settings of pyarrow's writer."""


def as_loaded(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast the rows of a file to a schema as `load_dataset` does.

    Args:
        table: The rows.
        schema: Schema of the features, as returned by `Features.arrow_schema`.

    Raises:
        ValueError, TypeError: The rows do not fit, or would lose information.
    """
    fitting = table_cast(table, schema)
    return pa.Table.from_arrays(fitting.columns, schema=schema)  # drops the metadata that Parquet adds to fields


def written_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema for writing rows, without view types: slicing them crashes pyarrow's writer."""
    return _mapped_schema(schema, _without_view)


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema that a Parquet file of these columns has when read back; it is idempotent."""
    return _mapped_schema(schema, _stored)


def as_written(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast rows to `written_schema`.

    Args:
        table: The rows.
        schema: Schema to write.

    Raises:
        SourceError: A value would be read back from Parquet as a different value.
    """
    for field in stored_schema(table.schema):
        column = table.column(field.name)
        if column.type != field.type and not _survives(column, field.type):
            raise SourceError(
                f"column {field.name!r} is {column.type}, which Parquet stores as {field.type}, and holds a value that "
                f"is not among those. Fix the value, or cast the column to another type in the source."
            )
    columns = zip(table.columns, schema.types, strict=True)
    # pyarrow's cast breaks lists of nulls, so only columns that need it are cast.
    arrays = [column if column.type == kind else array_cast(column, kind) for column, kind in columns]
    return pa.Table.from_arrays(arrays, schema=schema)


def check_storable(features: Features) -> None:
    """Refuse columns of a type that Parquet cannot store.

    Raises:
        SourceError: There is such a column.
    """
    if not _obstacle(features.arrow_schema):
        return
    for field in features.arrow_schema:
        why = _obstacle(pa.schema([field]))
        if why:
            raise SourceError(
                f"column {field.name!r} is {field.type}, which Parquet cannot store ({why}). Cast the column to "
                f"another type in the source, or remove it there, and plan again."
            )


def same(one: pa.ChunkedArray | pa.Array, other: pa.ChunkedArray | pa.Array) -> bool:
    """Whether two columns are equal in type and value, floats bit by bit: NaN equals NaN, 0.0 differs from -0.0."""
    if one.type != other.type or len(one) != len(other):
        return False
    one, other = (array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in (one, other))
    kind = one.type
    if isinstance(kind, pa.BaseExtensionType):
        return same(one.storage, other.storage)
    if pa.types.is_floating(kind):
        bits = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[kind.bit_width]
        return bool(one.view(bits).equals(other.view(bits)))
    if not kind.num_fields:
        return bool(one.equals(other))
    if not one.is_null().equals(other.is_null()):
        return False
    if pa.types.is_struct(kind):
        return all(map(same, one.flatten(), other.flatten()))
    return pc.list_value_length(one).equals(pc.list_value_length(other)) and same(one.flatten(), other.flatten())


def _survives(column: pa.ChunkedArray, stored: pa.DataType) -> bool:
    try:
        return same(array_cast(array_cast(column, stored), column.type), column)
    except (pa.ArrowException, TypeError):
        return False


def _obstacle(schema: pa.Schema) -> str:
    """Return why Parquet cannot store a schema, by trial; empty if it can."""
    try:
        back = _written_and_read(schema)
    except (pa.ArrowException, OSError) as error:
        return in_one_line(error).removesuffix(".")
    return "" if stored_schema(back) == stored_schema(schema) else f"it comes back as {', '.join(map(str, back.types))}"


def _written_and_read(schema: pa.Schema) -> pa.Schema:
    """Return the schema of a written and re-read Parquet file: one row, its structs and lists filled with nulls."""
    kinds = [_mapped(kind, lambda leaf: leaf, keep_extensions=False) for kind in schema.types]
    row = [array_cast(pa.array([_blank(kind)], kind), field.type) for kind, field in zip(kinds, schema, strict=True)]
    buffer = io.BytesIO()
    table = as_written(pa.Table.from_arrays(row, schema=schema), written_schema(schema))
    pq.write_table(table, buffer, **WRITING)
    return pq.read_table(buffer).schema


def _blank(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _blank(field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return [_blank(kind.value_type)] * kind.list_size
    return [_blank(kind.value_type)] if kind.num_fields else None


def _without_view(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _stored(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_date64(kind):
        return pa.date32()
    return pa.time32("ms") if pa.types.is_time32(kind) else _without_view(kind)


def _mapped_schema(schema: pa.Schema, leaf: Callable[[pa.DataType], pa.DataType]) -> pa.Schema:
    return pa.schema([field.with_type(_mapped(field.type, leaf)) for field in schema], schema.metadata)


def _mapped(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType], keep_extensions: bool = True) -> pa.DataType:
    """Map the leaves of a nested type; an extension type whose storage changes becomes that storage, as in Parquet."""

    def mapped(field: pa.Field) -> pa.Field:
        return field.with_type(_mapped(field.type, leaf, keep_extensions))

    if isinstance(kind, pa.BaseExtensionType):
        storage = _mapped(kind.storage_type, leaf, keep_extensions)
        return kind if keep_extensions and storage == kind.storage_type else storage
    if pa.types.is_struct(kind):
        return pa.struct([mapped(field) for field in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(mapped(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(mapped(kind.value_field))
    return pa.list_(mapped(kind.value_field)) if pa.types.is_list(kind) else leaf(kind)
