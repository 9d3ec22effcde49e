"""Prompts from rows, for the generation of candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from hf_toedit.editing.passage import CONTEXT_SEPARATOR
from hf_toedit.errors import PriorError
from hf_toedit.generation.generator import Generator, Prompt
from hf_toedit.rows.conversations import Conversations
from hf_toedit.rows.texts import Texts

TOO_LONG = "prompt_too_long"
"""Reason to skip a row whose prompt leaves no room in the model's context."""

Messages = list[dict[str, Any]]


@dataclass
class Prompts:
    """The prompts of rows.

    Attributes:
        rows: Prompt of each row, or the reason why it has none.
        num_chats: Number of prompts written by the chat template.
        refusals: Messages of the template for conversations that it refuses.
    """

    rows: list[Prompt | str] = field(default_factory=list)
    num_chats: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def found(self) -> list[Prompt]:
        """The existing prompts."""
        return [prompt for prompt in self.rows if isinstance(prompt, Prompt)]

    @classmethod
    def of(cls, table: pa.Table, texts: Texts, generator: Generator) -> Prompts:
        """Make the prompts of a table.

        Args:
            table: The rows.
            texts: Selects the texts that are read.
            generator: Provides the tokenizer and the chat template.

        Raises:
            PriorError: The rows contain conversations, and the model has no chat template.
        """
        prompts = cls()
        for read in _read(table, texts, generator):
            prompt = prompts._written(read, generator) if isinstance(read, list) else read
            if isinstance(prompt, Prompt) and len(prompt.ids) >= generator.context:
                prompt = TOO_LONG
            prompts.rows.append(prompt)
        return prompts

    def _written(self, messages: Messages, generator: Generator) -> Prompt | str:
        """Apply the chat template to a conversation."""
        try:
            text = generator.render(messages)
        except PriorError as error:
            self.refusals.append(str(error))
            return "template_failed"
        assert text is not None  # the template exists
        self.num_chats += 1
        return generator.prompt(text, text)


def _read(table: pa.Table, texts: Texts, generator: Generator) -> Iterator[Prompt | Messages | str]:
    """Yield the prompt of each row, a conversation to answer, or the reason why there is neither."""
    column = texts.config.messages_column
    if column is not None:
        if not generator.has_chat:
            raise PriorError(
                f"prior {generator.name!r} has no chat template, so it cannot answer conversations. Name a chat model, "
                f"or use --context-columns or --text-column instead of --messages-column."
            )
        for messages in Conversations.find(table.schema, column).questions(table):
            yield messages or "empty"
        return
    said = {text.row: text.text for text in texts.read(table)}
    for row, context in enumerate(texts.contexts(table)):
        text = said.get(row)
        yield _of_text(text, context, generator) if text else ("null" if text is None else "empty")


def _of_text(text: str, context: tuple[str | None, ...], generator: Generator) -> Prompt | Messages:
    """Return the beginning of a text after its context; or both as a question if the whole text is the prompt."""
    before = "".join(part + CONTEXT_SEPARATOR for part in context if part)
    if (num_tokens := generator.config.prompt_tokens) is not None:
        return generator.beginning(before, text, num_tokens)
    if generator.has_chat:
        return [{"role": "user", "content": before + text}]
    return generator.prompt(before + text + CONTEXT_SEPARATOR, before + text)
