"""Chat templates: conversations as the text that a prior was trained to read."""

from __future__ import annotations

from typing import Any

from hf_toedit.errors import PriorError, in_one_line

_ANY_DAY = "{% macro strftime_now(format) %}01 January 2025{% endmacro %}"
"""Prefix for a chat template: one that asks for the date gets the same on any day, and writes the same text."""


def render(
    tokenizer: Any, name: str, messages: list[dict[str, Any]], what: str = "prior", *, answers: bool = False
) -> str | None:
    """Render a conversation with a tokenizer's chat template; see `Prior.render`.

    Args:
        tokenizer: Tokenizer of `transformers`.
        name: Name of its model, for messages.
        messages: Messages with `role`, `content`, and other keys that the template reads.
        what: What the model is, for messages.
        answers: End with the text that the template writes before an answer.

    Raises:
        PriorError: The template refuses the conversation.
    """
    if not tokenizer.chat_template:
        return None
    try:
        template = _ANY_DAY + tokenizer.get_chat_template()
        rendered = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=answers
        )
    except Exception as error:  # a template may raise anything
        raise PriorError(
            f"the chat template of {what} {name!r} refuses a conversation: {in_one_line(error)}"
        ) from error
    return rendered if tokenizer.bos_token_id is None else rendered.removeprefix(tokenizer.bos_token)
