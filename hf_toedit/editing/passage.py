"""`Passage`: a text that a prior reads as a whole, with texts to edit and context around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONTEXT_SEPARATOR = "\n\n"
"""Separator between the parts of a context, and between a context and the text that follows it."""


@dataclass(frozen=True)
class Passage:
    """Texts to edit within their context: a prompt before a response, the other turns of a conversation.

    Attributes:
        text: The complete text that the prior reads.
        spans: `(start, end)` characters of each text to edit, ascending, not overlapping.
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str, context: Sequence[str | None] = ()) -> Passage:
        """Create a passage of one text after a context; parts of the context that are None or empty are left out."""
        before = "".join(part + CONTEXT_SEPARATOR for part in context if part)
        return cls(before + text, ((len(before), len(before) + len(text)),))

    def owners(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return which text each token belongs to.

        Args:
            starts: int `[n]`, first character of each token.
            ends: int `[n]`, one past the last character of each token.

        Returns:
            int64 `[n]`: index of the span that contains the whole token; -1 for context, and for a token that crosses
            the border of a span.
        """
        if not self.spans:
            return np.full(len(starts), -1)
        first, stop = np.array(self.spans).T
        nearest = np.searchsorted(first, starts, side="right") - 1
        return np.where((nearest >= 0) & (ends <= stop[nearest]), nearest, -1)

    @property
    def texts(self) -> list[str]:
        """The texts to edit."""
        return [self.text[start:end] for start, end in self.spans]

    def with_texts(self, texts: Sequence[str]) -> Passage:
        """Return a passage with the same context around other texts.

        Args:
            texts: One text per span.
        """
        parts: list[str] = []
        spans = []
        at = length = 0
        for (start, end), text in zip(self.spans, texts, strict=True):
            kept = self.text[at:start]
            length += len(kept)
            spans.append((length, length + len(text)))
            parts += [kept, text]
            length += len(text)
            at = end
        return Passage("".join([*parts, self.text[at:]]), tuple(spans))
