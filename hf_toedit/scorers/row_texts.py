"""The text of a row as a single string, for scorers that read whole rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow as pa

from hf_toedit.editing.conversation import Render
from hf_toedit.editing.draft import why_unread
from hf_toedit.editing.passage import CONTEXT_SEPARATOR, Passage
from hf_toedit.rows.texts import Text, Texts


@dataclass
class RowTexts:
    """The rows of a table that have text to read.

    Attributes:
        rows: Their indices.
        texts: The text of each row.
        num_read: Number of the row's texts that it is joined from.
        num_skipped: Number of texts in all rows that were left out, by cause, as editing counts them.
        skip_reasons: Error of the chat template for one conversation that it refused.
    """

    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    num_read: list[int] = field(default_factory=list)
    num_skipped: Counter[str] = field(default_factory=Counter)
    skip_reasons: dict[str, str] = field(default_factory=dict)

    def _add(self, row: int, text: str, causes: list[str | None]) -> None:
        self.num_skipped.update(cause for cause in causes if cause is not None)
        if None in causes:
            self.rows.append(row)
            self.texts.append(text)
            self.num_read.append(causes.count(None))


def row_texts(table: pa.Table, texts: Texts, render: Render) -> RowTexts:
    """Return the text of each row: its context, then its texts in order, with a blank line between them.

    A conversation is rendered with the chat template; without one, its messages are joined in the same way.

    Args:
        table: The rows.
        texts: Selects the texts of the rows.
        render: Renders a conversation with the chat template.
    """
    found = texts.read(table)
    result = RowTexts()
    if texts.config.messages_column is not None:
        _add_conversations(result, table, texts, found, render)
        return result
    contexts = texts.contexts(table)
    for row, group in groupby(sorted(found, key=lambda text: text.row), key=lambda text: text.row):
        own = [text.text for text in group]
        causes = [why_unread(text if text is None else Passage.of(text))[0] for text in own]
        parts = [*contexts[row], *(text for text, cause in zip(own, causes, strict=True) if cause is None)]
        result._add(row, CONTEXT_SEPARATOR.join(part for part in parts if part), causes)
    return result


def _add_conversations(result: RowTexts, table: pa.Table, texts: Texts, found: list[Text], render: Render) -> None:
    passages, parts, refusal = texts.passages(table, found, render)
    waiting = iter(passages)
    at = 0
    for row, group in groupby(found, key=lambda text: text.row):
        count = len(list(group))
        if parts[at] is None:  # the template refuses the whole conversation
            result.num_skipped["template_failed"] += count
        else:
            passage = next(waiting)
            result._add(row, passage.text if isinstance(passage, Passage) else "", why_unread(passage))
        at += count
    if refusal is not None:
        result.skip_reasons["template_failed"] = refusal
