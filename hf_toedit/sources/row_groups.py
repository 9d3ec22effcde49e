"""Row groups of Parquet files: their sizes, and their rows as tables of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

_TABLE_BYTES = 32 * 2**20
_TABLE_ROWS = 1000


def column_bytes(group: pq.RowGroupMetaData, columns: Iterable[str]) -> int:
    """Return the uncompressed bytes of top-level columns in a row group."""
    leaves = (group.column(index) for index in range(group.num_columns))
    prefixes = tuple(f"{name}." for name in columns)
    return sum(leaf.total_uncompressed_size for leaf in leaves if f"{leaf.path_in_schema}.".startswith(prefixes))


def named_columns(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Return only the named columns of a table that pyarrow has read by these names.

    pyarrow reads a name with a dot as a path, too: for a column `a.b`, it also returns the field `b` of a struct `a`.
    """
    wanted = set(columns)
    return table.select([name for name in table.column_names if name in wanted])


def row_group_tables(parquet: pq.ParquetFile, groups: Iterable[int], columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of row groups, in tables whose size is bounded with the help of the group's metadata.

    The caller must close the file.
    """
    for index in groups:
        group = parquet.metadata.row_group(index)
        fitting = _TABLE_BYTES * group.num_rows // max(column_bytes(group, columns), 1)
        size = min(max(fitting, 1), _TABLE_ROWS)
        batches = parquet.iter_batches(size, row_groups=[index], columns=columns, use_threads=False)
        try:
            yield from (named_columns(pa.Table.from_batches([batch]), columns) for batch in batches)
        except (pa.ArrowInvalid, OSError) as error:
            if error.args and isinstance(error.args[0], str):  # errors of the operating system begin with a number
                error.args = (f"row group {index} of {parquet.num_row_groups}: {error.args[0]}",)
            raise
