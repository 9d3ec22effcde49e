"""The columns of an output row: the text replaced, the edit log beside it, everything else as it was.

Used wherever rows are written or read back: shards, `Dataset.map`, `revert`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from datasets import Features, LargeList, List, Value

from hf_toedit.editing.editor import ToEditor
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.result import EditResult
from hf_toedit.errors import SourceError, did_you_mean
from hf_toedit.stats import EditStats

LOG_FEATURE = {
    "num_tokens": Value("int32"),
    "num_selected": Value("int32"),
    "num_changed": Value("int32"),
    "num_dropped": Value("int32"),
    "nll": Value("float32"),
    "edits": List(
        {"start": Value("int32"), "end": Value("int32"), "source": Value("string"), "generation": Value("int16")}
    ),
}
"""Features of the edit log column."""


class GroupSize(NamedTuple):
    """How many rows, and bytes of text, a group of rows holds at most (its last row may exceed the bytes)."""

    rows: int
    num_bytes: int


ROW_GROUP = GroupSize(1000, 16 * 2**20)
"""Of an output file."""

EDIT_BATCH = GroupSize(1000, 2**16)
"""Read by the prior in one go: large enough to fill its packs, small enough to show progress."""


def check_text_column(features: Features, text_column: str, log_column: str | None) -> None:
    """Refuse a source whose rows cannot be edited as asked.

    Raises:
        SourceError: no such column, one that is not text, or a log column that is there already.
    """
    if text_column not in features:
        raise SourceError(
            f"the source has no column {text_column!r}.{did_you_mean(text_column, features)} "
            f"Name the text column with --text-column."
        )
    kind = features[text_column]
    if not (isinstance(kind, Value) and kind.dtype in ("string", "large_string")):
        texts = [name for name, other in features.items() if isinstance(other, Value) and "string" in str(other.dtype)]
        raise SourceError(
            f"column {text_column!r} holds {_kind_name(kind)}, not text. "
            + (f"Text columns: {', '.join(texts)}." if texts else "The source has no text column.")
        )
    if log_column in features:
        raise SourceError(
            f"the source already has a column {log_column!r}, which would be overwritten by the edit log. "
            f"Choose another name with --edit-log-column, or leave the log out with --no-edit-log."
        )


def check_log_column(features: Features, text_column: str, log_column: str) -> None:
    """Refuse rows that carry no edit log.

    Raises:
        SourceError: no such column, or one that this tool did not write.
    """
    for name, option in ((text_column, "--text-column"), (log_column, "--edit-log-column")):
        if name not in features:
            raise SourceError(f"the rows have no column {name!r}.{did_you_mean(name, features)} Name it with {option}.")
    if features[log_column] != LOG_FEATURE:
        raise SourceError(f"column {log_column!r} is not an edit log of hf-toedit, so nothing can be reverted by it.")


def output_features(features: Features, log_column: str | None) -> Features:
    """Features of the output: the source's, and the edit log's last."""
    return Features({**features, log_column: LOG_FEATURE}) if log_column else Features(features)


def source_features(features: Features, log_column: str | None) -> Features:
    """Features of the source again, from the output's."""
    return Features({name: feature for name, feature in features.items() if name != log_column})


def edit_table(
    editor: ToEditor, table: pa.Table, text_column: str, log_column: str | None, generation: int
) -> tuple[pa.Table, EditStats]:
    """Edit rows once; earlier edits in their log are composed with the new ones.

    Args:
        editor: edits the texts.
        table: the rows.
        text_column: whose texts are edited.
        log_column: where edits are logged; None for nowhere.
        generation: keys the draws.
    """
    tables = piece_tables(table, text_column, log_column)
    result = editor.edit(table.column(text_column).to_pylist(), generation=generation, tables=tables)
    return edited_table(table, result, text_column, log_column), result.stats


def edited_table(table: pa.Table, result: EditResult, text_column: str, log_column: str | None) -> pa.Table:
    """Put edited texts, and their log, into the rows that they came from.

    Args:
        table: the rows.
        result: one document a row.
        text_column: whose texts are replaced.
        log_column: where the log goes, replaced where it is there already; None for nowhere.
    """
    table = _with_texts(table, text_column, result.texts)
    if log_column is None:
        return table
    log_type = Features({log_column: LOG_FEATURE}).arrow_schema.field(log_column)
    log = pa.array([document.to_log() for document in result.documents], type=log_type.type)
    if log_column in table.column_names:
        return table.set_column(table.column_names.index(log_column), log_type, log)
    return table.append_column(log_type, log)


def piece_tables(table: pa.Table, text_column: str, log_column: str | None) -> list[PieceTable | None]:
    """The earlier edits of rows that this tool wrote; None for a row without text."""
    texts = table.column(text_column).to_pylist()
    logs = table.column(log_column).to_pylist() if log_column in table.column_names else [None] * len(texts)
    return logged_texts(texts, logs)


def logged_texts(texts: Iterable[Any], logs: Iterable[dict[str, Any] | None]) -> list[PieceTable | None]:
    """The earlier edits of texts, from what their rows logged; None for what is no text."""
    return [
        PieceTable.from_log(text, log["edits"] if log else []) if isinstance(text, str) else None
        for text, log in zip(texts, logs, strict=True)
    ]


def reverted_table(table: pa.Table, text_column: str, log_column: str) -> pa.Table:
    """The source rows again: texts reverted, the log gone."""
    texts = [entry.revert() if entry else None for entry in piece_tables(table, text_column, log_column)]
    return _with_texts(table, text_column, texts).drop_columns([log_column])


def grouped(tables: Iterable[pa.Table], text_column: str, size: GroupSize) -> Iterator[pa.Table]:
    """Cut rows into groups of bounded size, at places that depend on the rows alone.

    Args:
        tables: of any length.
        text_column: whose bytes count.
        size: a group is closed by the row that reaches either bound.
    """
    waiting: list[pa.Table] = []
    num_rows = num_bytes = 0
    for table in tables:
        start = 0
        for row, text in enumerate(table.column(text_column)):
            num_bytes += len(text.as_buffer()) if text.is_valid else 0
            num_rows += 1
            if num_rows == size.rows or num_bytes >= size.num_bytes:
                yield pa.concat_tables([*waiting, table.slice(start, row + 1 - start)])
                waiting, start, num_rows, num_bytes = [], row + 1, 0, 0
        if start < len(table):
            waiting.append(table.slice(start))
    if waiting:
        yield pa.concat_tables(waiting)


def _with_texts(table: pa.Table, text_column: str, texts: list[str | None]) -> pa.Table:
    index = table.column_names.index(text_column)
    field = table.schema.field(index)
    return table.set_column(index, field, pa.array(texts, type=field.type))


def _kind_name(feature: object) -> str:
    if isinstance(feature, Value):
        return feature.dtype
    if isinstance(feature, dict):
        return "a struct"
    return "a list" if isinstance(feature, List | LargeList) else f"a {type(feature).__name__}"
