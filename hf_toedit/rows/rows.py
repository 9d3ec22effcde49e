"""The columns of an output row: the texts replaced, the edit log beside them, everything else as it was.

Used wherever rows are written or read back: shards, `Dataset.map`, `revert`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from datasets import Features

from hf_toedit.config import TextConfig
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.prior import BATCH_BYTES, Prior
from hf_toedit.editing.result import COUNTS, EditedDocument, log_counts
from hf_toedit.errors import SourceError, did_you_mean
from hf_toedit.rows.flat import flat_features, flat_names, flat_present, flat_values
from hf_toedit.rows.logs import UnrevertibleRows, earlier_edits
from hf_toedit.rows.texts import Text, Texts
from hf_toedit.stats import EditStats


class GroupSize(NamedTuple):
    """What a group of rows holds at most, save that its last row may exceed the bytes.

    Attributes:
        rows: number of them.
        num_bytes: of the texts that the prior reads.
        all_bytes: of all columns, a row counted as the mean of the table it came in.
    """

    rows: int
    num_bytes: int
    all_bytes: int = 64 * 2**20


ROW_GROUP = GroupSize(1000, 16 * 2**20)
"""Of an output file."""

EDIT_BATCH = GroupSize(1000, BATCH_BYTES)
"""Read by the prior in one go: large enough to fill its packs, small enough to show progress."""


def edit_batch(prior: Prior) -> GroupSize:
    """The size of the batches for a prior: `EDIT_BATCH`, or smaller for a prior that would take long to read it."""
    return EDIT_BATCH._replace(num_bytes=prior.batch_bytes)


class Edited(NamedTuple):
    """What an editor made of the texts of a table; `with_edits` makes the output rows of it.

    Attributes:
        texts: What each text is now, in the order of `Texts.read`; empty where only the counts were kept.
        logs: The edit log of each row; None if no log is wanted.
        stats: The counts.
        counts: Those of each log; see `log_counts`.
    """

    texts: list[str | None]
    logs: list[dict[str, Any]] | None
    stats: EditStats
    counts: tuple[str, ...] = COUNTS

    def fits(self, found: Sequence[Text]) -> bool:
        """Whether it can be of these texts."""
        return not self.texts or len(self.texts) == len(found)


def check_log_column(features: Features, texts: Texts, log_column: str) -> None:
    """Refuse rows that carry no edit log of these texts.

    Raises:
        SourceError: no such column, or one that this tool did not write for them.
    """
    if log_column not in features:
        raise SourceError(
            f"there is no column {log_column!r}.{did_you_mean(log_column, features)} Name the column of the edit log "
            f"with --edit-log-column; rows without one cannot be reverted."
        )
    if texts.is_log_feature(features[log_column]):
        return
    others = (Texts(TextConfig()), Texts(TextConfig(messages_column="messages")))
    if any(other.is_log_feature(features[log_column]) for other in others):
        raise SourceError(
            f"column {log_column!r} is the edit log of other texts. Name those that were edited, with --text-column or "
            f"--messages-column."
        )
    raise SourceError(f"column {log_column!r} is not an edit log of hf-toedit, so nothing can be reverted with it.")


def output_features(
    features: Features, texts: Texts, log_column: str | None, counts: Sequence[str] = COUNTS, *, flat: bool = False
) -> Features:
    """Features of the output: the source's, the edit log's, and its flat columns last.

    Args:
        features: of the source.
        texts: which texts are edited.
        log_column: where edits are logged; None for nowhere.
        counts: of a log; see `log_counts`.
        flat: whether there are flat columns; see `rows/flat.py`.
    """
    if log_column is None:
        return Features(features)
    return Features({**features, log_column: texts.log_feature(counts), **(flat_features(log_column) if flat else {})})


def source_features(features: Features, log_column: str) -> Features:
    """Features of the source again, from the output's."""
    ours = (log_column, *flat_present(features, log_column))
    return Features({name: feature for name, feature in features.items() if name not in ours})


class TableDraft:
    """Rows on their way through an editor: tokenized when this is made, then scored, then edited.

    Earlier edits in their log are composed with the new ones.
    """

    def __init__(self, editor: Editor, table: pa.Table, texts: Texts, log_column: str | None, generation: int) -> None:
        """Read the texts and tokenize them.

        Args:
            editor: edits the texts.
            table: the rows.
            texts: which texts of them.
            log_column: where edits are logged; None for nowhere.
            generation: keys the draws.

        Raises:
            UnrevertibleRows: the rows carry logs, of which some are missing or wrong.
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
        """What the prior reads, tokenized."""
        return self._draft.documents

    @property
    def num_tokens(self) -> np.ndarray:
        """int64 `[rows]`: tokens of each row's texts, as statistics count them once they are scored."""
        rows = [text.row for text, part in zip(self._found, self._parts, strict=True) if part is not None]
        total = np.zeros(len(self._table), np.int64)
        np.add.at(total, np.array(rows, np.int64), self._draft.num_tokens)
        return total

    @property
    def readings(self) -> Iterator[tuple[str, np.ndarray]]:
        """What the prior says of each text that it could read; see `Draft.readings`."""
        return self._draft.readings

    @property
    def found(self) -> Sequence[Text]:
        """The texts of the rows."""
        return self._found

    @property
    def table(self) -> pa.Table:
        """The rows, as they were."""
        return self._table

    def score(self) -> TableDraft:
        """Have the prior score the texts, and what was drawn where edits are verified; see `Editor.score`."""
        self._editor.score(self._draft)
        self._editor.verify(self._draft)
        return self

    def finish(self, logs: bool = False) -> Edited:
        """Draw, splice and count.

        Args:
            logs: Make the log of each row also where no column holds it.
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
    """The output rows.

    Args:
        table: The rows that were edited.
        texts: Which texts of them.
        log_column: The column of the edit log; None for no log.
        found: The texts of the rows, as `Texts.read` gave them.
        edited: What was made of them.
        flat: Add flat columns; where the rows have them already, they are always written anew.
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
    """With a column in its place, or as the last one where it is new."""
    if field.name in table.column_names:
        return table.set_column(table.column_names.index(field.name), field, values)
    return table.append_column(field, values)


def piece_tables(table: pa.Table, texts: Texts, log_column: str | None) -> list[PieceTable | None]:
    """The earlier edits of all texts of rows that this tool wrote, in the order of `Texts.read`; None for no text.

    Raises:
        UnrevertibleRows: logs are missing, or wrong.
    """
    return earlier_edits(table, texts.read(table), texts, log_column)


def reverted_table(table: pa.Table, texts: Texts, log_column: str) -> pa.Table:
    """The source rows again: texts reverted, the log gone.

    Raises:
        UnrevertibleRows: logs are missing, or wrong.
    """
    found = texts.read(table)
    earlier = earlier_edits(table, found, texts, log_column)
    reverted = [entry.revert() if entry else None for entry in earlier]
    ours = [log_column, *flat_present(table.column_names, log_column)]
    return texts.write(table, found, reverted).drop_columns(ours)


def revertible_rows(table: pa.Table, texts: Texts, log_column: str) -> tuple[pa.Table, Mapping[int, str]]:
    """The source rows again of the rows that have a right log, and what is wrong with each other one, by its number."""
    try:
        return reverted_table(table, texts, log_column), {}
    except UnrevertibleRows as error:
        kept = table.filter(pa.array([row not in error.reasons for row in range(len(table))], pa.bool_()))
        return reverted_table(kept, texts, log_column), error.reasons


def grouped(tables: Iterable[pa.Table], texts: Texts, size: GroupSize) -> Iterator[pa.Table]:
    """Cut rows into groups of bounded size, at places that depend on the rows, and the tables they come in, alone.

    Args:
        tables: of any length.
        texts: whose bytes count.
        size: a group is closed by the row that reaches any bound.
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
    """A text, cut where the part begins and ends that the prior reads; a chat template may strip whitespace.

    Attributes:
        unread: before and behind that part.
        read: the part; None for no text.
    """

    unread: tuple[PieceTable, ...]
    read: PieceTable | None

    @classmethod
    def of(cls, table: PieceTable | None, part: tuple[int, int] | None) -> _Cut:
        """Cut a text; all of it is unread where there is no part."""
        if table is None or part == (0, len(table.text)):
            return cls((), table)
        if part is None:
            return cls((table,), None)
        before, rest = table.split(part[0])
        read, behind = rest.split(part[1] - part[0])
        return cls((before, behind), read)

    def whole(self, document: EditedDocument) -> EditedDocument:
        """The edited part among the others again."""
        if not self.unread or document.table is None:
            return document
        before, behind = self.unread
        return replace(document, table=PieceTable.joined([before, document.table, behind]))

    def count(self, stats: EditStats, known: bool) -> None:
        """Count what still stands of the source where the editor has not seen it."""
        for table in self.unread if known else ():
            stats.num_characters += table.num_source
            stats.num_characters_standing += table.num_standing


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
    """The log of a row of several texts: sums, the mean over all scored tokens, edits with the path of their text."""
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
