"""Where the texts of a row lie, what the prior reads with them, and how edited ones are put back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Features, List, Value

from hf_toedit.config import TextConfig
from hf_toedit.editing.conversation import Render, conversation_passage
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.result import COUNTS, VERIFIED_COUNTS
from hf_toedit.errors import PriorError, SourceError
from hf_toedit.rows.conversations import Conversations, suggestion
from hf_toedit.rows.nested import (
    ITEMS,
    ValuePath,
    find,
    has_text,
    head,
    is_like_text,
    is_text,
    kind_name,
    text_hint,
    values_at,
    with_values,
)

logger = logging.getLogger(__name__)

_EDIT = {"start": Value("int32"), "end": Value("int32"), "source": Value("string"), "generation": Value("int16")}


class Text(NamedTuple):
    """One text of one row.

    Attributes:
        row: of the table.
        label: its own path in the row, such as `messages[1].content`.
        text: None where there is none.
        place: which of the places to edit it lies at.
        position: among all values there.
    """

    row: int
    label: str
    text: str | None
    place: int
    position: int


class Passages(NamedTuple):
    """What the prior reads of a table.

    Attributes:
        passages: with the texts in order.
        parts: `(start, end)` characters of each text that are in its passage; None for a text that is in none, since
            the chat template refuses its conversation.
        refusal: what the template says of one that it refuses, the first in the order of the alphabet; None where it
            takes all.
    """

    passages: list[str | Passage | None]
    parts: list[tuple[int, int] | None]
    refusal: str | None = None


@dataclass(frozen=True)
class Texts:
    """Finds the texts of Arrow tables and puts others in their place; everything beside them stays as it is.

    Attributes:
        config: which texts.
    """

    config: TextConfig

    @property
    def one_a_row(self) -> bool:
        """Whether each row holds exactly one text, so that the log need not say which."""
        paths = self.config.text_columns
        return len(paths) == 1 and ITEMS not in paths[0]

    def log_feature(self, counts: Sequence[str] = COUNTS) -> dict[str, Any]:
        """Feature of the edit log column; edits name their text where a row may hold several.

        Args:
            counts: see `log_counts`.
        """
        edit = _EDIT if self.one_a_row else {"path": Value("string"), **_EDIT}
        return {**dict.fromkeys(counts, Value("int32")), "nll": Value("float32"), "edits": List(edit)}

    def is_log_feature(self, feature: Any) -> bool:
        """Whether a feature is that of an edit log of these texts, of verified edits or others."""
        return feature in (self.log_feature(), self.log_feature(VERIFIED_COUNTS))

    def log_field(self, log_column: str, counts: tuple[str, ...] = COUNTS) -> pa.Field:
        """The edit log column as Arrow has it."""
        return _log_field(self, log_column, counts)

    def check(self, features: Features, log_column: str | None = None) -> None:
        """Refuse a source whose rows cannot be edited as asked.

        Raises:
            SourceError: no such column or field, one that holds no text, or a log column that is there already.
        """
        schema = features.arrow_schema
        if self.config.messages_column is not None:
            _check(_conversation_texts, schema, self.config.messages_column, "--messages-column")
        for path in self.config.text_columns:
            _check(_column_texts, schema, path, "--text-column")
        for path in self.config.context_columns:
            _check(_context_texts, schema, path, "--context-columns")
        if log_column in features:
            raise SourceError(
                f"the source already has a column {log_column!r}, which would be overwritten by the edit log. "
                f"Choose another name with --edit-log-column, or leave the log out with --no-edit-log."
            )

    def columns(self, names: Collection[str]) -> list[str]:
        """Which of the columns of a source hold what the prior reads: the texts, and their context.

        Raises:
            SourceError: one that should is not there.
        """
        config = self.config
        edited = config.text_columns if config.messages_column is None else (config.messages_column,)
        return list(dict.fromkeys(head(path, names) for path in (*edited, *config.context_columns)))

    def read_places(self, schema: pa.Schema) -> list[ValuePath]:
        """Where everything that the prior reads lies: the texts to edit, and their context.

        Raises:
            SourceError: something of it is not there, or is no text.
        """
        return [*self._places(schema), *(_context_texts(schema, path) for path in self.config.context_columns)]

    def num_bytes(self, table: pa.Table) -> np.ndarray:
        """int64 `[rows]`: UTF-8 bytes of each row's texts and their context; 0 of rows made without these columns."""
        total = np.zeros(len(table), np.int64)
        try:
            places = self.read_places(table.schema)
        except SourceError:  # those of the source were checked before
            return total
        for place in places:
            values = values_at(table, place)
            # Views have no length in pyarrow.
            array = values.array.cast(pa.string()) if pa.types.is_string_view(values.array.type) else values.array
            lengths = pc.fill_null(pc.binary_length(array), 0)
            np.add.at(total, values.rows, lengths.to_numpy())
        return total

    def read(self, table: pa.Table) -> list[Text]:
        """All texts to edit, place by place; a null or empty list has none.

        Raises:
            SourceError: the table does not hold them.
        """
        found = []
        for index, place in enumerate(self._places(table.schema)):
            array, rows, labels = values_at(table, place)
            values = zip(rows.tolist(), labels, array.to_pylist(), strict=True)
            found += [Text(row, label, text, index, at) for at, (row, label, text) in enumerate(values)]
        column = self.config.messages_column
        if column is None:
            return found
        edited = Conversations.find(table.schema, column).edited(table, self.config.roles)
        return [text for text in found if edited[text.position] and text.text is not None]

    def write(self, table: pa.Table, texts: Sequence[Text], edited: Sequence[str | None]) -> pa.Table:
        """Put other texts where `read` found these.

        Args:
            table: the rows.
            texts: as `read` gave them.
            edited: what each is now.
        """
        for index, place in enumerate(self._places(table.schema)):
            changed = {
                text.position: new
                for text, new in zip(texts, edited, strict=True)
                if text.place == index and text.text != new
            }
            if changed:
                values = values_at(table, place).array.to_pylist()
                for position, new in changed.items():
                    values[position] = new
                table = with_values(table, place, values)
        return table

    def passages(self, table: pa.Table, texts: Sequence[Text], render: Render) -> Passages:
        """What the prior reads.

        Args:
            table: the rows.
            texts: as `read` gave them.
            render: of the prior.
        """
        if self.config.messages_column is not None:
            return _conversations(table, texts, render, self.config.messages_column)
        contexts = self.contexts(table)
        passages: list[str | Passage | None] = [
            Passage.of(text.text, contexts[text.row]) if text.text else text.text for text in texts
        ]
        return Passages(passages, [(0, len(text.text or "")) for text in texts])

    def contexts(self, table: pa.Table) -> list[tuple[str | None, ...]]:
        """The context of each row: the values of the context columns, in order."""
        places = [_context_texts(table.schema, path) for path in self.config.context_columns]
        columns = [values_at(table, place).array.to_pylist() for place in places]
        return list(zip(*columns, strict=True)) if columns else [()] * len(table)

    def _places(self, schema: pa.Schema) -> list[ValuePath]:
        """Where the texts to edit lie."""
        column = self.config.messages_column
        if column is not None:
            return [_conversation_texts(schema, column)]
        return [_column_texts(schema, path) for path in self.config.text_columns]


@lru_cache
def _log_field(texts: Texts, log_column: str, counts: tuple[str, ...]) -> pa.Field:
    """Made once: shards may be many and small."""
    return Features({log_column: texts.log_feature(counts)}).arrow_schema.field(log_column)


def _check(find_texts: Callable[[pa.Schema, str], ValuePath], schema: pa.Schema, path: str, option: str) -> None:
    try:
        place = find_texts(schema, path)
        if pa.types.is_null(place.kind):
            raise SourceError(f"column {path!r} holds null, not text. {text_hint(schema)}")
    except SourceError as error:
        advice = suggestion(schema, path) if option == "--text-column" else None
        if advice and path == "text" and path not in schema.names:
            raise SourceError(f"there is no column {path!r}. {text_hint(schema)} {advice}") from error
        if advice is None and has_text(schema) and option not in str(error):
            advice = f"Name it with {option}."
        raise SourceError(" ".join(filter(None, [str(error), advice]))) from error


def _conversation_texts(schema: pa.Schema, column: str) -> ValuePath:
    return Conversations.find(schema, column).contents


def _column_texts(schema: pa.Schema, path: str) -> ValuePath:
    place = find(schema, path)
    if not (is_text(place.kind) or pa.types.is_null(place.kind)):
        if is_like_text(place.kind):
            raise SourceError(f"column {path!r} holds {place.kind}, which cannot be edited. Save it as string first.")
        raise SourceError(f"column {path!r} holds {kind_name(place.kind)}, not text. {text_hint(schema)}")
    return place


def _context_texts(schema: pa.Schema, path: str) -> ValuePath:
    place = _column_texts(schema, path)
    if ITEMS in place.steps:
        raise SourceError(f"column {path!r} is inside a list, so there is not one context per row.")
    return place


def _conversations(table: pa.Table, texts: Sequence[Text], render: Render, column: str) -> Passages:
    conversations = Conversations.find(table.schema, column)
    messages, rows, _ = values_at(table, conversations.messages)
    found = Passages([], [])
    refused: list[PriorError] = []
    for row, group in groupby(texts, key=lambda text: text.row):
        start, stop = np.searchsorted(rows, [row, row + 1]).tolist()
        said = {at: value for at, value in enumerate(messages[start:stop].to_pylist(), start) if value is not None}
        edited = [list(said).index(text.position) for text in group]
        try:
            read = conversation_passage([conversations.for_template(value) for value in said.values()], edited, render)
        except PriorError as error:
            refused.append(error)
            found.parts.extend([None] * len(edited))
        else:
            found.passages.append(read.passage)
            found.parts.extend(read.parts)
    if not refused:
        return found
    logger.warning("%d conversations pass through unread; of the first, %s", len(refused), refused[0])
    return found._replace(refusal=min(map(str, refused)))
