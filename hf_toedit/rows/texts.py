"""The texts of a row: their location, the passages that the prior reads, and the replacement of edited texts."""

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
    SEVERAL_TYPES,
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

_SAVE_AS_STRING = "Save it as string first."
_EDIT = {"start": Value("int32"), "end": Value("int32"), "source": Value("string"), "generation": Value("int16")}


class Text(NamedTuple):
    """One text of one row.

    Attributes:
        row: Row of the table.
        label: Path of this text in the row, such as `messages[1].content`.
        text: The text; None if it is null.
        place: Index of its location among the edited ones.
        position: Index among all values at that location.
    """

    row: int
    label: str
    text: str | None
    place: int
    position: int


class Passages(NamedTuple):
    """The passages of a table that the prior reads.

    Attributes:
        passages: Passages with the texts, in order.
        parts: Range `(start, end)` of characters of each text in its passage; None for a text whose conversation the
            chat template refuses.
        refusal: Error of the template for a refused conversation, the first one in alphabetical order; None if none is
            refused.
    """

    passages: list[str | Passage | None]
    parts: list[tuple[int, int] | None]
    refusal: str | None = None


@dataclass(frozen=True)
class Texts:
    """Finds the texts of Arrow tables and replaces them; everything else stays unchanged.

    Attributes:
        config: Settings that select the texts.
    """

    config: TextConfig

    @property
    def one_a_row(self) -> bool:
        """Whether each row contains exactly one text, so that the log need not contain its path."""
        paths = self.config.text_columns
        return len(paths) == 1 and ITEMS not in paths[0]

    def log_feature(self, counts: Sequence[str] = COUNTS) -> dict[str, Any]:
        """Return the feature of the edit log column; if a row may have several texts, edits contain their path.

        Args:
            counts: Names of the counts, see `log_counts`.
        """
        edit = _EDIT if self.one_a_row else {"path": Value("string"), **_EDIT}
        return {**dict.fromkeys(counts, Value("int32")), "nll": Value("float32"), "edits": List(edit)}

    def is_log_feature(self, feature: Any) -> bool:
        """Whether a feature is that of an edit log of these texts, with or without the counts of verified edits."""
        return feature in (self.log_feature(), self.log_feature(VERIFIED_COUNTS))

    def log_field(self, log_column: str, counts: tuple[str, ...] = COUNTS) -> pa.Field:
        """Return the Arrow field of the edit log column."""
        return _log_field(self, log_column, counts)

    def check(self, features: Features, log_column: str | None = None, option: str = "--text-column") -> None:
        """Refuse a source whose rows cannot be edited as requested.

        Args:
            features: Columns of the source.
            log_column: Name of the new column of the edit log; None for none.
            option: Option that names the text columns, for messages.

        Raises:
            SourceError: A column or field does not exist or is not a text, or the log column exists already.
        """
        schema = features.arrow_schema
        if self.config.messages_column is not None:
            _check(_conversation_texts, schema, self.config.messages_column, "--messages-column")
        for path in self.config.text_columns:
            _check(_column_texts, schema, path, option)
        for path in self.config.context_columns:
            _check(_context_texts, schema, path, "--context-columns")
        if log_column in features:
            if is_edit_log(features[log_column]):
                raise SourceError(
                    f"the source is edited already: its column {log_column!r} is an edit log. For one more generation, "
                    f"use: hf-toedit run RUN --generations G. To edit the result as a new source, name another column "
                    f"with --edit-log-column, or leave the log out with --no-edit-log."
                )
            raise SourceError(
                f"the source already has a column {log_column!r}, which would be overwritten by the edit log. "
                f"Choose another name with --edit-log-column, or leave the log out with --no-edit-log."
            )

    def columns(self, names: Collection[str]) -> list[str]:
        """Return the columns of a source that the prior reads: the texts and their context.

        Raises:
            SourceError: A column does not exist.
        """
        config = self.config
        edited = config.text_columns if config.messages_column is None else (config.messages_column,)
        return list(dict.fromkeys(head(path, names) for path in (*edited, *config.context_columns)))

    def read_places(self, schema: pa.Schema) -> list[ValuePath]:
        """Return the locations of everything that the prior reads: the texts to edit, and their context.

        Raises:
            SourceError: A location does not exist, or is not a text.
        """
        return [*self._places(schema), *(_context_texts(schema, path) for path in self.config.context_columns)]

    def num_bytes(self, table: pa.Table) -> np.ndarray:
        """Return the UTF-8 bytes of each row's texts and context, int64 `[rows]`; 0 if the columns do not exist."""
        total = np.zeros(len(table), np.int64)
        try:
            places = self.read_places(table.schema)
        except SourceError:  # columns of the source were checked before
            return total
        for place in places:
            values = values_at(table, place)
            # pyarrow cannot compute the length of views.
            array = values.array.cast(pa.string()) if pa.types.is_string_view(values.array.type) else values.array
            lengths = pc.fill_null(pc.binary_length(array), 0)
            np.add.at(total, values.rows, lengths.to_numpy())
        return total

    def read(self, table: pa.Table) -> list[Text]:
        """Return all texts to edit, by location; null and empty lists have none.

        Raises:
            SourceError: The table does not contain the texts.
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
        """Replace texts that `read` returned.

        Args:
            table: The rows.
            texts: The texts, from `read`.
            edited: New version of each text.
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
        """Return the passages that the prior reads.

        Args:
            table: The rows.
            texts: The texts, from `read`.
            render: Chat template of the prior.
        """
        if self.config.messages_column is not None:
            return _conversations(table, texts, render, self.config.messages_column)
        contexts = self.contexts(table)
        passages: list[str | Passage | None] = [
            Passage.of(text.text, contexts[text.row]) if text.text else text.text for text in texts
        ]
        return Passages(passages, [(0, len(text.text or "")) for text in texts])

    def contexts(self, table: pa.Table) -> list[tuple[str | None, ...]]:
        """Return the context of each row: the values of the context columns, in order."""
        places = [_context_texts(table.schema, path) for path in self.config.context_columns]
        columns = [values_at(table, place).array.to_pylist() for place in places]
        return list(zip(*columns, strict=True)) if columns else [()] * len(table)

    def _places(self, schema: pa.Schema) -> list[ValuePath]:
        """Return the locations of the texts to edit."""
        column = self.config.messages_column
        if column is not None:
            return [_conversation_texts(schema, column)]
        return [_column_texts(schema, path) for path in self.config.text_columns]


def is_edit_log(feature: Any) -> bool:
    """Whether a feature is that of an edit log, of whichever texts."""
    kinds = (Texts(TextConfig()), Texts(TextConfig(messages_column="messages")))
    return any(texts.is_log_feature(feature) for texts in kinds)


@lru_cache
def _log_field(texts: Texts, log_column: str, counts: tuple[str, ...]) -> pa.Field:
    """Return the log field; cached, because shards may be many and small."""
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
        if advice is None and has_text(schema) and option not in str(error) and _SAVE_AS_STRING not in str(error):
            advice = f"Name it with {option}."
        raise SourceError(" ".join(filter(None, [str(error), advice]))) from error


def _conversation_texts(schema: pa.Schema, column: str) -> ValuePath:
    return Conversations.find(schema, column).contents


def _column_texts(schema: pa.Schema, path: str) -> ValuePath:
    place = find(schema, path)
    if not (is_text(place.kind) or pa.types.is_null(place.kind)):
        if is_like_text(place.kind):
            raise SourceError(f"column {path!r} holds {place.kind}, which cannot be edited. {_SAVE_AS_STRING}")
        mixed = kind_name(place.kind) == SEVERAL_TYPES and not place.steps
        hint = f"Use --columns {path}:string, with all other columns to keep." if mixed else text_hint(schema)
        raise SourceError(f"column {path!r} holds {kind_name(place.kind)}, not text. {hint}")
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
