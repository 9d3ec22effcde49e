"""Writing rows to a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class Writer:
    """A Parquet file with a given schema; each table is written as one row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open the file.

        Args:
            path: Path of the file.
            schema: Schema of its rows.
        """
        from hf_toedit.sources.parquet import WRITING, written_schema

        self._schema = schema
        self._written = written_schema(schema)
        self._writer = pq.ParquetWriter(path, self._written, **WRITING)

    def write(self, table: pa.Table) -> None:
        """Write rows, in the column order and types of the schema.

        Raises:
            SourceError: Parquet cannot store a value.
        """
        from hf_toedit.sources.parquet import as_loaded, as_written

        table = as_written(as_loaded(table.select(self._schema.names), self._schema), self._written)
        self._writer.write_table(table, row_group_size=max(len(table), 1))

    def __enter__(self) -> Writer:
        """Return the writer."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Write the footer."""
        self._writer.close()
