"""The edit logs of rows, read back; a row whose log cannot be right is named, and its text never taken for the source.

A log is missing where rows of elsewhere were put among edited ones, and wrong where texts were changed after they were
edited. Such a row may hold its source, or may not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from hf_toedit.editing.piece_table import PieceTable, UnfitLog
from hf_toedit.errors import SourceError
from hf_toedit.rows.texts import Text, Texts

NAMED = 5
"""Rows that a message names."""


class UnrevertibleRows(SourceError):
    """Rows whose source is not known.

    Attributes:
        reasons: why, by the number of the row in its table.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        """Keep what is wrong with each row."""
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        """In one line."""
        return f"{unrevertible(len(self.reasons), named_rows(self.reasons))} Get the dataset again, or leave them out."


def unrevertible(count: int, named: Sequence[str]) -> str:
    """The sentence that counts rows whose source is not known, and names the first of them.

    Args:
        count: all of them.
        named: the first of them, as `named_rows` has it.
    """
    more = f" and {count - len(named):,} more" if count > len(named) else ""
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return f"the source of {rows} cannot be rebuilt: {', '.join(named)}{more}."


def named_rows(reasons: Mapping[int, str], split: str | None = None) -> list[str]:
    """The first rows, each with what is wrong with it.

    Args:
        reasons: by the number of the row.
        split: that they are of.
    """
    of = "" if split is None else f" of split {split!r}"
    return [f"row {row:,}{of} ({reason})" for row, reason in list(reasons.items())[:NAMED]]


def earlier_edits(
    table: pa.Table, found: Sequence[Text], texts: Texts, log_column: str | None
) -> list[PieceTable | None]:
    """The edits that the rows' logs tell of.

    Args:
        table: the rows; without the column of the log, nothing was edited in them.
        found: their texts, as `Texts.read` gave them.
        texts: which texts they are.
        log_column: of the edit log.

    Returns:
        A table for each text; None for no text.

    Raises:
        UnrevertibleRows: a log is missing, does not fit its text, or tells of a text that is not among them.
    """
    if log_column not in table.column_names:
        return [None if text.text is None else PieceTable(text.text) for text in found]
    reasons: dict[int, str] = {}
    edits: dict[tuple[int, str | None], list[dict[str, Any]]] = defaultdict(list)
    for row, log in enumerate(table.column(log_column).to_pylist()):
        if reason := _flaw(log):
            reasons[row] = reason
            continue
        for edit in log["edits"]:
            edits[row, edit.get("path")].append(edit)
    tables: list[PieceTable | None] = []
    for text in found:
        label = None if texts.one_a_row else text.label
        logged = [] if text.text is None else edits.pop((text.row, label), [])  # a text that is null has no edits
        try:
            tables.append(None if text.text is None else PieceTable.from_log(text.text, logged))
        except UnfitLog as error:
            reasons.setdefault(text.row, f"its edit log does not fit its text: {error.flaw}")
            tables.append(None)
    for row, label in edits:
        reasons.setdefault(
            row,
            f"its edit log describes {label or 'a text'} in a row that has no such text, or it is not among the texts "
            f"named with --text-column, --messages-column and --roles",
        )
    if reasons:
        raise UnrevertibleRows(dict(sorted(reasons.items())))
    return tables


def _flaw(log: dict[str, Any] | None) -> str | None:
    """What a log lacks, whatever its text is; None for nothing."""
    if log is None:
        return "it has no edit log"
    if log["edits"] is None:
        return "its edit log has no list of edits"
    if None in log["edits"]:
        return "its edit log holds an edit that is null"
    return None
