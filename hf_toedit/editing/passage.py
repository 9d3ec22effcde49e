"""What a prior reads in one go: texts to edit and, around them, context that is only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONTEXT_SEPARATOR = "\n\n"
"""Stands between the parts of a context, and between a context and the text that follows it."""


@dataclass(frozen=True)
class Passage:
    """Texts to edit within what is read with them: a prompt before a response, the other turns of a conversation.

    Attributes:
        text: all that the prior reads.
        spans: `(start, end)` characters of each text to edit, ascending, not overlapping.
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str, context: Sequence[str | None] = ()) -> Passage:
        """One text, after a context; parts of the context that are None or empty are left out."""
        before = "".join(part + CONTEXT_SEPARATOR for part in context if part)
        return cls(before + text, ((len(before), len(before) + len(text)),))

    def owners(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Which text each token belongs to.

        Args:
            starts: int `[n]`, first character of each token.
            ends: int `[n]`, one past its last.

        Returns:
            int64 `[n]`: index of the span that a token lies wholly inside; -1 for context, as is a token that reaches
            over a span's border.
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
        """The same context around other texts.

        Args:
            texts: one a span.
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
