"""Conversations as passages: locates the messages to edit in the output of a prior's chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hf_toedit.editing.passage import CONTEXT_SEPARATOR, Passage
from hf_toedit.errors import PriorError

Render = Callable[[list[dict[str, Any]]], str | None]
"""Renders messages with a chat template; returns None if there is none. See `Prior.render`."""

_PRIVATE_USE = range(0xE000, 0xF900)


@dataclass(frozen=True)
class Conversation:
    """A conversation as the prior reads it.

    Attributes:
        passage: The passage, with one span for each edited message, in order.
        parts: `(start, end)` characters of each edited message's content that are in its span. A template may strip a
            content, or leave out the thoughts of earlier turns; text that the prior does not read is not edited. Empty
            for a blank content.
    """

    passage: Passage
    parts: tuple[tuple[int, int], ...]


def conversation_passage(messages: list[dict[str, Any]], edited: Sequence[int], render: Render) -> Conversation:
    """Render a conversation as a passage.

    Args:
        messages: Messages with `role` and `content`; other keys are passed to the template.
        edited: Indices of the messages to edit, ascending; their contents are strings. If there are none, nothing is
            read either.
        render: The prior's `render`. Without a template, contents are joined by `CONTEXT_SEPARATOR`.

    Raises:
        PriorError: The template refuses the conversation, or rewrites a content to edit.
    """
    if not edited:
        return Conversation(Passage("", ()), ())
    rendered = render(messages)
    if rendered is None:
        return _joined(messages, edited)
    filled = [index for index in edited if messages[index]["content"].strip()]
    found = _found(messages, filled, rendered, render)
    spans, parts = [], []
    at = 0
    for index in edited:
        # A blank content gets an empty span at any position, since it has nothing to edit.
        span, part = found.get(index, ((at, at), (0, 0)))
        spans.append(span)
        parts.append(part)
        at = span[1]
    return Conversation(Passage(rendered, tuple(spans)), tuple(parts))


def _joined(messages: list[dict[str, Any]], edited: Sequence[int]) -> Conversation:
    """Join the contents, without any text for the roles."""
    chosen = set(edited)
    text = ""
    spans, parts = [], []
    for index, message in enumerate(messages):
        content = message.get("content")
        content = content if isinstance(content, str) and content.strip() else ""
        if content and text:
            text += CONTEXT_SEPARATOR
        if index in chosen:
            spans.append((len(text), len(text) + len(content)))
            parts.append((0, len(content)))
        text += content
    return Conversation(Passage(text, tuple(spans)), tuple(parts))


@dataclass(frozen=True)
class _Slot:
    """Text that a template writes for one content.

    Attributes:
        literal: The template's own text since the previous slot.
        start: First character of the content that it writes, before it strips whitespace.
    """

    literal: str
    start: int


def _found(
    messages: list[dict[str, Any]], filled: list[int], rendered: str, render: Render
) -> dict[int, tuple[tuple[int, int], tuple[int, int]]]:
    """Return the span in `rendered`, and the part of the content, of each of the messages `filled` (not blank)."""
    slots, tail = _slots(messages, filled, rendered, render)
    following = [*(slot.literal for slot in slots), tail][1:]
    found = {}
    at = 0
    for index, slot, after in zip(filled, slots, following, strict=True):
        content = messages[index]["content"]
        for start, end in _stripped(content, slot.start):
            # Includes the following text, since trailing whitespace may belong to the content or the template.
            if rendered.startswith(slot.literal + content[start:end] + after, at):
                break
        else:
            raise _rewritten(index)
        at += len(slot.literal)
        found[index] = ((at, at + end - start), (start, end))
        at += end - start
    if rendered[at:] != tail:
        raise _rewritten(filled[-1] if filled else 0)
    return found


def _slots(messages: list[dict[str, Any]], filled: list[int], rendered: str, render: Render) -> tuple[list[_Slot], str]:
    """Return where a template writes each content, and its own text after the last.

    The conversation is rendered once more with a mark before and after each content. The marks are private-use
    characters, so that a template treats the contents as it does without them, except that it does not strip them.
    """
    opening, closing = _unused(rendered)
    marked = [dict(message) for message in messages]
    for index in filled:
        marked[index]["content"] = opening + messages[index]["content"] + closing
    *pieces, tail = (render(marked) or "").split(closing)
    if len(pieces) != len(filled):
        raise PriorError("the chat template leaves messages out that are to be edited, or writes them twice.")
    slots = []
    for index, piece in zip(filled, pieces, strict=True):
        content = messages[index]["content"]
        literal, mark, body = piece.rpartition(opening)
        if mark and body != content:
            raise _rewritten(index)
        # Without the mark, the template cut the beginning of the content, such as thoughts, and kept its end.
        start = 0 if mark else _common_end(piece, content)
        slots.append(_Slot(literal if mark else piece[: len(piece) - len(content) + start], start))
    return slots, tail


def _common_end(piece: str, content: str) -> int:
    """Return where the longest suffix of `content` that `piece` also ends with begins, less leading whitespace."""
    start = len(content)
    while start and len(content) - start < len(piece) and piece[start - 1 - len(content)] == content[start - 1]:
        start -= 1
    return len(content) - len(content[start:].lstrip())


def _stripped(content: str, start: int) -> list[tuple[int, int]]:
    """Return the `(start, end)` characters of a content from `start` on that templates may keep; longest first."""
    parts = {(start, len(content))}
    for characters in (None, "\n"):
        left = len(content) - len(content[start:].lstrip(characters))
        right = max(len(content.rstrip(characters)), start)
        parts |= {(left, right), (left, len(content)), (start, right)}
    return sorted(parts, key=lambda part: (part[0] - part[1], part))


def _unused(text: str) -> tuple[str, str]:
    """Return two private-use characters that do not occur in `text`."""
    used = set(text)
    first, second = islice((chr(code) for code in _PRIVATE_USE if chr(code) not in used), 2)
    return first, second


def _rewritten(index: int) -> PriorError:
    return PriorError(
        f"the chat template rewrites the content of message {index}, so its tokens cannot be told apart from its own."
    )
