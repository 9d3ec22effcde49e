"""Reading of edit logs; rows with an invalid log are reported, and their texts are never taken for the source.

A log is missing if foreign rows were added to edited ones, and invalid if texts were changed after the edit. Such a row
may or may not contain its source.
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
"""Maximum number of rows that a message names."""


class UnrevertibleRows(SourceError):
    """Rows whose source is unknown.

    Attributes:
        reasons: Reasons by row number in the table.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        """Store the reason for each row."""
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        """Return the message in one line."""
        return f"{unrevertible(len(self.reasons), named_rows(self.reasons))} Get the dataset again, or leave them out."


def unrevertible(count: int, named: Sequence[str]) -> str:
    """Return a sentence with the number of rows whose source is unknown, and the first of them.

    Args:
        count: Number of such rows.
        named: Descriptions of the first rows, from `named_rows`.
    """
    more = f" and {count - len(named):,} more" if count > len(named) else ""
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return f"the source of {rows} cannot be rebuilt: {', '.join(named)}{more}."


def named_rows(reasons: Mapping[int, str], split: str | None = None) -> list[str]:
    """Describe the first rows, each with its reason.

    Args:
        reasons: Reasons by row number.
        split: Split of the rows.
    """
    of = "" if split is None else f" of split {split!r}"
    return [f"row {row:,}{of} ({reason})" for row, reason in list(reasons.items())[:NAMED]]


def earlier_edits(
    table: pa.Table, found: Sequence[Text], texts: Texts, log_column: str | None
) -> list[PieceTable | None]:
    """Read the edits in the rows' logs.

    Args:
        table: The rows; without the log column, they are unedited.
        found: Their texts, from `Texts.read`.
        texts: Selects the texts.
        log_column: Column of the edit log.

    Returns:
        A table for each text; None for a missing text.

    Raises:
        UnrevertibleRows: A log is missing, does not fit its text, or refers to a text that is not among them.
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
        logged = [] if text.text is None else edits.pop((text.row, label), [])  # null texts have no edits
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
    """Return what is missing in a log, regardless of its text; None if nothing is."""
    if log is None:
        return "it has no edit log"
    if log["edits"] is None:
        return "its edit log has no list of edits"
    if None in log["edits"]:
        return "its edit log holds an edit that is null"
    return None
