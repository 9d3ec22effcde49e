"""The columns of an output row: replaced texts, the edit log, and all other columns unchanged.

Used wherever rows are written or read back: shards, `Dataset.map`, `revert`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from datasets import Features

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.prior import BATCH_BYTES, Prior
from hf_toedit.editing.result import COUNTS, EditedDocument, log_counts
from hf_toedit.errors import SourceError, did_you_mean
from hf_toedit.rows.flat import flat_features, flat_names, flat_present, flat_values
from hf_toedit.rows.logs import UnrevertibleRows, earlier_edits
from hf_toedit.rows.texts import Text, Texts, is_edit_log
from hf_toedit.stats import EditStats


class GroupSize(NamedTuple):
    """Upper bounds of a group of rows; only its last row may exceed the bytes.

    Attributes:
        rows: Number of rows.
        num_bytes: Bytes of the texts that the prior reads.
        all_bytes: Bytes of all columns; a row counts as the mean of its input table.
    """

    rows: int
    num_bytes: int
    all_bytes: int = 64 * 2**20


ROW_GROUP = GroupSize(1000, 16 * 2**20)
"""Size of a row group of an output file."""

EDIT_BATCH = GroupSize(1000, BATCH_BYTES)
"""Size of a batch for the prior: large enough to fill its packs, small enough to show progress."""


def edit_batch(prior: Prior) -> GroupSize:
    """Return the batch size for a prior: `EDIT_BATCH`, or smaller if the prior would take long to read that much."""
    return EDIT_BATCH._replace(num_bytes=prior.batch_bytes)


class Edited(NamedTuple):
    """The result of editing the texts of a table; `with_edits` makes the output rows from it.

    Attributes:
        texts: New version of each text, in the order of `Texts.read`; empty if only the counts were kept.
        logs: The edit log of each row; None if no log is wanted.
        stats: The counts.
        counts: Names of the counts in each log; see `log_counts`.
    """

    texts: list[str | None]
    logs: list[dict[str, Any]] | None
    stats: EditStats
    counts: tuple[str, ...] = COUNTS

    def fits(self, found: Sequence[Text]) -> bool:
        """Whether the result can belong to these texts."""
        return not self.texts or len(self.texts) == len(found)


def check_log_column(features: Features, texts: Texts, log_column: str) -> None:
    """Refuse rows without an edit log of these texts.

    Raises:
        SourceError: There is no such column, or this tool did not write it for these texts.
    """
    if log_column not in features:
        logs = [name for name, feature in features.items() if is_edit_log(feature)]
        raise SourceError(
            f"there is no column {log_column!r}.{did_you_mean(log_column, logs)} Name the column of the edit log with "
            f"--edit-log-column; rows without one cannot be reverted."
        )
    if texts.is_log_feature(features[log_column]):
        return
    if is_edit_log(features[log_column]):
        raise SourceError(
            f"column {log_column!r} is the edit log of other texts. Name those that were edited, with --text-column or "
            f"--messages-column."
        )
    raise SourceError(f"column {log_column!r} is not an edit log of hf-toedit, so nothing can be reverted with it.")


def output_features(
    features: Features, texts: Texts, log_column: str | None, counts: Sequence[str] = COUNTS, *, flat: bool = False
) -> Features:
    """Return the features of the output: those of the source, of the edit log, and of its flat columns.

    Args:
        features: Features of the source.
        texts: Selects the edited texts.
        log_column: Column of the edit log; None for no log.
        counts: Names of the counts in a log; see `log_counts`.
        flat: Whether there are flat columns; see `rows/flat.py`.
    """
    if log_column is None:
        return Features(features)
    return Features({**features, log_column: texts.log_feature(counts), **(flat_features(log_column) if flat else {})})


def source_features(features: Features, log_column: str) -> Features:
    """Return the features of the source, given those of the output."""
    ours = (log_column, *flat_present(features, log_column))
    return Features({name: feature for name, feature in features.items() if name not in ours})


class TableDraft:
    """The intermediate state of rows in an editor: tokenized on construction, then scored, then edited.

    Earlier edits in their log are composed with the new ones.
    """

    def __init__(self, editor: Editor, table: pa.Table, texts: Texts, log_column: str | None, generation: int) -> None:
        """Read the texts and tokenize them.

        Args:
            editor: Edits the texts.
            table: The rows.
            texts: Selects the texts of the rows.
            log_column: Column of the edit log; None for no log.
            generation: Number of the generation, part of the random key.

        Raises:
            UnrevertibleRows: The rows have logs, and some are missing or invalid.
        """
        self._editor = editor
        self._table = table
        self._texts = texts
        self._log_column = log_column
        self._found = texts.read(table)
        self._earlier = earlier_edits(table, self._found, texts, log_column)
        self._known = log_column is not None or generation == 1
        passages, self._parts, self._refusal = texts.passages(table, self._found, editor.prior.render)
        self._cuts = [_Cut.of(entry, part) for entry, part in zip(self._earlier, self._parts, strict=True)]
        tables = [cut.read for cut, part in zip(self._cuts, self._parts, strict=True) if part is not None]
        self._draft = editor.draft(passages, generation, tables if self._known else None)

    @property
    def documents(self) -> list[Document]:
        """Tokenized documents that the prior reads."""
        return self._draft.documents

    @property
    def num_tokens(self) -> np.ndarray:
        """Tokens of each row's texts, as statistics count them after scoring; int64 `[rows]`."""
        rows = [text.row for text, part in zip(self._found, self._parts, strict=True) if part is not None]
        total = np.zeros(len(self._table), np.int64)
        np.add.at(total, np.array(rows, np.int64), self._draft.num_tokens)
        return total

    @property
    def readings(self) -> Iterator[tuple[str, np.ndarray]]:
        """The prior's output for each text that it could read; see `Draft.readings`."""
        return self._draft.readings

    @property
    def found(self) -> Sequence[Text]:
        """The texts of the rows."""
        return self._found

    @property
    def table(self) -> pa.Table:
        """The unedited rows."""
        return self._table

    def score(self) -> TableDraft:
        """Score the texts and, if edits are verified, the sampled tokens; see `Editor.score`."""
        self._editor.score(self._draft)
        self._editor.verify(self._draft)
        return self

    def finish(self, logs: bool = False) -> Edited:
        """Sample, splice and count.

        Args:
            logs: Whether to make the log of each row even if no column stores it.
        """
        result = self._editor.finish(self._draft)
        edited, stats, found = iter(result.documents), result.stats, self._found
        documents = [
            EditedDocument(entry, "template_failed") if part is None else cut.whole(next(edited))
            for entry, part, cut in zip(self._earlier, self._parts, self._cuts, strict=True)
        ]
        stats.num_rows = len(self._table)
        changed = {old.row for old, now in zip(found, documents, strict=True) if old.text != now.text}
        stats.num_rows_changed = len(changed)
        for part, cut in zip(self._parts, self._cuts, strict=True):
            cut.count(stats, self._known)
            if part is None:
                stats.add_skipped("template_failed")
        if self._refusal:
            stats.add_skip_reason("template_failed", self._refusal)
        logged, counts = None, log_counts(self._editor.config)
        if self._log_column or logs:
            logged = _row_logs(len(self._table), found, documents, self._texts, counts)
        return Edited([document.text for document in documents], logged, stats, counts)


def edit_table(
    editor: Editor, table: pa.Table, texts: Texts, log_column: str | None, generation: int
) -> tuple[pa.Table, EditStats]:
    """Edit rows once; see `TableDraft`."""
    draft = TableDraft(editor, table, texts, log_column, generation)
    edited = draft.score().finish()
    return with_edits(table, texts, log_column, draft.found, edited), edited.stats


def with_edits(
    table: pa.Table,
    texts: Texts,
    log_column: str | None,
    found: Sequence[Text],
    edited: Edited,
    *,
    flat: bool = False,
) -> pa.Table:
    """Make the output rows.

    Args:
        table: The rows that were edited.
        texts: Selects the texts of the rows.
        log_column: Column of the edit log; None for no log.
        found: The texts of the rows, from `Texts.read`.
        edited: The result of the edit.
        flat: Whether to add flat columns; existing ones are always rewritten.
    """
    table = texts.write(table, found, edited.texts)
    if log_column is None:
        return table
    field = texts.log_field(log_column, edited.counts)
    log = pa.array(edited.logs, type=field.type)
    table = _with_column(table, field, log)
    names = flat_names(log_column) if flat else flat_present(table.column_names, log_column)
    for name, values in flat_values(log, log_column).items() if names else ():
        if name in names:
            table = _with_column(table, pa.field(name, values.type), values)
    return table


def _with_column(table: pa.Table, field: pa.Field, values: pa.Array) -> pa.Table:
    """Return the table with a column replaced, or appended if it is new."""
    if field.name in table.column_names:
        return table.set_column(table.column_names.index(field.name), field, values)
    return table.append_column(field, values)


def piece_tables(table: pa.Table, texts: Texts, log_column: str | None) -> list[PieceTable | None]:
    """Return the earlier edits of all texts of edited rows, in the order of `Texts.read`; None for a missing text.

    Raises:
        UnrevertibleRows: Logs are missing or invalid.
    """
    return earlier_edits(table, texts.read(table), texts, log_column)


def reverted_table(table: pa.Table, texts: Texts, log_column: str) -> pa.Table:
    """Restore the source rows: texts reverted, the log removed.

    Raises:
        UnrevertibleRows: Logs are missing or invalid.
    """
    found = texts.read(table)
    earlier = earlier_edits(table, found, texts, log_column)
    reverted = [entry.revert() if entry else None for entry in earlier]
    ours = [log_column, *flat_present(table.column_names, log_column)]
    return texts.write(table, found, reverted).drop_columns(ours)


def revertible_rows(table: pa.Table, texts: Texts, log_column: str) -> tuple[pa.Table, Mapping[int, str]]:
    """Restore the source rows of rows with a valid log, and return the reasons for the other ones, by row number."""
    try:
        return reverted_table(table, texts, log_column), {}
    except UnrevertibleRows as error:
        kept = table.filter(pa.array([row not in error.reasons for row in range(len(table))], pa.bool_()))
        return reverted_table(kept, texts, log_column), error.reasons


def grouped(tables: Iterable[pa.Table], texts: Texts, size: GroupSize) -> Iterator[pa.Table]:
    """Cut rows into groups of bounded size, at places that depend only on the rows and the tables they come in.

    Args:
        tables: Tables of any length.
        texts: Selects the texts whose bytes count.
        size: Bounds; the row that reaches any of them closes a group.
    """
    waiting: list[pa.Table] = []
    num_rows = num_bytes = all_bytes = 0
    for table in tables:
        start = 0
        row_bytes = table.nbytes // max(len(table), 1)
        for row, text_bytes in enumerate(texts.num_bytes(table).tolist(), start=1):
            num_rows += 1
            num_bytes += text_bytes
            all_bytes += row_bytes
            if num_rows == size.rows or num_bytes >= size.num_bytes or all_bytes >= size.all_bytes:
                yield pa.concat_tables([*waiting, table.slice(start, row - start)])
                waiting, start, num_rows, num_bytes, all_bytes = [], row, 0, 0, 0
        if start < len(table):
            waiting.append(table.slice(start))
    if waiting:
        yield pa.concat_tables(waiting)


@dataclass(frozen=True)
class _Cut:
    """A text, split into the part that the prior reads and the rest; a chat template may strip whitespace.

    Attributes:
        unread: The parts before and after the part that is read.
        read: The part that is read; None for a missing text.
    """

    unread: tuple[PieceTable, ...]
    read: PieceTable | None

    @classmethod
    def of(cls, table: PieceTable | None, part: tuple[int, int] | None) -> _Cut:
        """Split a text; all of it is unread if `part` is None."""
        if table is None or part == (0, len(table.text)):
            return cls((), table)
        if part is None:
            return cls((table,), None)
        before, rest = table.split(part[0])
        read, behind = rest.split(part[1] - part[0])
        return cls((before, behind), read)

    def whole(self, document: EditedDocument) -> EditedDocument:
        """Return the whole text, with the edited part between the unread ones."""
        if not self.unread or document.table is None:
            return document
        before, behind = self.unread
        return replace(document, table=PieceTable.joined([before, document.table, behind]))

    def count(self, stats: EditStats, known: bool) -> None:
        """Count the unchanged source characters of the unread parts, which the editor has not seen."""
        for table in self.unread if known else ():
            stats.num_characters += table.num_source
            stats.num_characters_unchanged += table.num_unchanged


def _row_logs(
    num_rows: int, found: Sequence[Text], documents: Sequence[EditedDocument], texts: Texts, counts: Sequence[str]
) -> list[dict[str, Any]]:
    if texts.one_a_row:
        return [document.to_log(counts) for document in documents]
    by_row: list[list[tuple[str, EditedDocument]]] = [[] for _ in range(num_rows)]
    for text, document in zip(found, documents, strict=True):
        by_row[text.row].append((text.label, document))
    return [_row_log(row, counts) for row in by_row]


def _row_log(documents: Sequence[tuple[str, EditedDocument]], counts: Sequence[str]) -> dict[str, Any]:
    """Return the log of a row with several texts: sums, mean NLL of all scored tokens, and edits with their paths."""
    logs = [document.to_log(counts) for _, document in documents]
    scored = [document.reading.num_scored if document.reading else 0 for _, document in documents]
    total = sum(log["nll"] * count for log, count in zip(logs, scored, strict=True) if count)
    return {
        **{name: sum(log[name] for log in logs) for name in counts},
        "nll": total / sum(scored) if sum(scored) else None,
        "edits": [
            {"path": path, **edit} for (path, _), log in zip(documents, logs, strict=True) for edit in log["edits"]
        ],
    }
