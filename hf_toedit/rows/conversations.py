"""Columns of conversations: which messages are edited, and how a chat template receives them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hf_toedit.errors import SourceError
from hf_toedit.rows.nested import ITEMS, ValuePath, find, is_list, is_text, kind_name, text_hint, values_at

KEYS = (("role", "content"), ("from", "value"))
"""Keys of role and content in a message: those of chat templates, and those of ShareGPT."""

CHAT_ROLES = {"human": "user", "gpt": "assistant"}
"""Chat template roles by ShareGPT role."""


_USUAL = ("messages", "conversations", "conversation", "turns", "chosen")
"""Usual names of columns of conversations, in order of likelihood."""

_ANSWERS = ("output", "completion", "response", "answer", "chosen")
_QUESTIONS = ("system", "instruction", "prompt", "query", "question", "input", "context")
"""Usual names of columns with questions to a model, and with its answers."""


@dataclass(frozen=True)
class Conversations:
    """A column of conversations.

    Attributes:
        messages: Path of the messages.
        role_key: Field of a message with the speaker's role.
        content_key: Field of a message with its content.
    """

    messages: ValuePath
    role_key: str
    content_key: str

    @classmethod
    def find(cls, schema: pa.Schema, column: str) -> Conversations:
        """Find a column of conversations.

        Raises:
            SourceError: There is no such column, or it contains something else.
        """
        if is_text(find(schema, column).kind):
            raise SourceError(
                f"column {column!r} holds text, not a list of messages with role and content: leave "
                f"--messages-column out, and use --text-column."
            )
        messages = find(schema, column + ITEMS)
        if pa.types.is_null(messages.kind):
            return cls(messages, *KEYS[0])
        fields = {field.name: field.type for field in messages.kind} if pa.types.is_struct(messages.kind) else {}
        keys = next((keys for keys in KEYS if all(key in fields for key in keys)), None)
        if keys is None or ITEMS in messages.steps[:-1]:
            raise SourceError(
                f"column {column!r} is not one list per row of messages with role and content: the items of the list "
                f"are {kind_name(messages.kind)}. {text_hint(schema)}"
            )
        for key in keys:
            if not is_text(fields[key]) and not pa.types.is_null(fields[key]):
                raise SourceError(
                    f"the messages of column {column!r} hold {kind_name(fields[key])} as {key!r}, not text. "
                    + text_hint(schema)
                )
        return cls(messages, *keys)

    @property
    def contents(self) -> ValuePath:
        """Path of the messages' contents."""
        column, steps, kind = self.messages
        known = pa.types.is_struct(kind)
        return ValuePath(column, (*steps, self.content_key), kind.field(self.content_key).type if known else kind)

    def edited(self, table: pa.Table, roles: Iterable[str]) -> list[bool]:
        """Whether each message of a table, in order, has one of the given roles, under either of its names."""
        column, steps, _ = self.messages
        spoken = values_at(table, ValuePath(column, (*steps, self.role_key), pa.string())).array.to_pylist()
        wanted = {CHAT_ROLES.get(role, role) for role in roles}
        return [CHAT_ROLES.get(role, role) in wanted for role in spoken]

    def questions(self, table: pa.Table) -> list[list[dict[str, Any]]]:
        """Return the messages of each row in chat template format, without a final message of the assistant."""
        messages, rows, _ = values_at(table, self.messages)
        found: list[list[dict[str, Any]]] = [[] for _ in range(len(table))]
        for row, message in zip(rows.tolist(), messages.to_pylist(), strict=True):
            if message is not None:
                found[row].append(self.for_template(message))
        return [said[:-1] if said and said[-1]["role"] == "assistant" else said for said in found]

    def for_template(self, message: dict[str, Any]) -> dict[str, Any]:
        """Convert a message to chat template format: without null fields, but always with a content."""
        role, content = message[self.role_key], message[self.content_key]
        return {**_without_nulls(message), "role": CHAT_ROLES.get(role, role), "content": content or ""}


def suggestion(schema: pa.Schema, path: str) -> str | None:
    """Suggest options when a path leads to no text; None if the columns give no hint.

    Args:
        schema: Columns of the source.
        path: Requested path of a text; `text` if none was given.
    """
    found = [column for field in schema for column in _conversation_paths(schema, field.type, field.name)]
    column = min(found, key=lambda name: _USUAL.index(name) if name in _USUAL else len(_USUAL), default=None)
    named = next((name for name in found if f"{path}.".startswith((f"{name}.", name + ITEMS))), None)
    if named or (column and path == "text"):
        return f"Use --messages-column {shlex.quote(named or str(column))}."
    texts = [field.name for field in schema if is_text(field.type)]
    answer = next((name for name in _ANSWERS if name in texts), None)
    questions = [name for name in texts if name in _QUESTIONS]
    if path == "text" and answer and questions:
        return f"Use --text-column {answer} --context-columns {','.join(questions)}."
    return None


def _conversation_paths(schema: pa.Schema, kind: pa.DataType, path: str) -> Iterator[str]:
    """Yield the paths of conversations in a column, except those inside lists."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _conversation_paths(schema, field.type, f"{path}.{field.name}")
    elif is_list(kind) and pa.types.is_struct(kind.value_type):
        with suppress(SourceError):
            Conversations.find(schema, path)
            yield path


def _without_nulls(value: Any) -> Any:
    """Remove null fields from a value: Arrow gives every struct all fields, but templates check which fields exist."""
    if isinstance(value, dict):
        return {name: _without_nulls(field) for name, field in value.items() if field is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
