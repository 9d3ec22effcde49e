"""`Draft`: texts while an editor processes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.excerpt import excerpts
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.prior import DocumentScores
from hf_toedit.editing.result import ScoredDocument
from hf_toedit.stats import EditStats


@dataclass
class Draft:
    """Texts that an editor has begun to edit.

    Attributes:
        texts: Passages; other values are passed through.
        generation: Generation, which is part of the key for sampling.
        tables: Earlier edits, one table per text of a passage, if known.
        causes: Why each text of each passage cannot be edited; None for a text that can.
        read: Indices of the passages that the prior reads.
        documents: These passages, tokenized.
        scores: The prior's scores of each document; None if it failed on the document.
        drawn: Sampled edits for each text of the passages that could be read, by index; None before sampling.
        stats: Counts and times so far.
    """

    texts: Sequence[Any]
    generation: int
    tables: Sequence[PieceTable | None] | None
    causes: list[list[str | None]]
    read: list[int]
    stats: EditStats
    documents: list[Document] = field(default_factory=list)
    scores: list[DocumentScores | None] = field(default_factory=list)
    drawn: dict[int, list[ScoredDocument]] | None = None

    @classmethod
    def of(cls, texts: Sequence[Any], generation: int, tables: Sequence[PieceTable | None] | None) -> Draft:
        """Create a draft; nothing is tokenized yet."""
        texts = [Passage.of(text) if isinstance(text, str) else text for text in texts]
        causes = [why_unread(text) for text in texts]
        read = [index for index, entries in enumerate(causes) if None in entries]
        return cls(texts, generation, tables, causes, read, EditStats(num_rows=len(texts)))

    @property
    def num_tokens(self) -> list[int]:
        """Number of tokens of each text of each passage, as in statistics; 0 for a text that is not read."""
        counts = [np.zeros(len(causes), np.int64) for causes in self.causes]
        for index, document in zip(self.read, self.documents, strict=True):
            owners = self.texts[index].owners(document.starts, document.ends)
            is_read = [cause is None for cause in self.causes[index]]
            counts[index] = np.bincount(owners[owners >= 0], minlength=len(is_read)) * is_read
        return [int(count) for entries in counts for count in entries]

    @property
    def readings(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each text that was read with the log-probabilities of its tokens, float32 `[n]`; NaN if not scored."""
        for index, document, entry in zip(self.read, self.documents, self.scores, strict=True):
            if entry is not None:
                for part, scores in excerpts(self.texts[index], document, entry):
                    yield part.text, scores.counted


def why_unread(passage: Any) -> list[str | None]:
    """Return why each text of a passage cannot be edited; None for a text that can."""
    if not isinstance(passage, Passage):
        return ["null" if passage is None else "not_text"]
    try:
        passage.text.encode("utf-8")
    except UnicodeEncodeError:
        return ["invalid_unicode"] * len(passage.spans)
    return [None if start < end else "empty" for start, end in passage.spans]
