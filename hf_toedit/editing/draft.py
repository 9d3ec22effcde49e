"""`Draft`: texts on their way through an editor."""

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
        texts: passages; whatever else there is passes through.
        generation: keys the draws.
        tables: earlier edits, one a text of a passage, where they are known.
        causes: why each text of each passage cannot be edited; None for one that can.
        read: indices of the passages that the prior reads.
        documents: these, tokenized.
        scores: what the prior says of each document; None where it failed on it.
        drawn: what was drawn for each text of the passages that could be read, by index; None before the draw.
        stats: what was counted and timed so far.
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
        """Begin; nothing is tokenized yet."""
        texts = [Passage.of(text) if isinstance(text, str) else text for text in texts]
        causes = [why_unread(text) for text in texts]
        read = [index for index, entries in enumerate(causes) if None in entries]
        return cls(texts, generation, tables, causes, read, EditStats(num_rows=len(texts)))

    @property
    def num_tokens(self) -> list[int]:
        """Tokens of each text of each passage, as statistics count them; 0 for one that is not read."""
        counts = [np.zeros(len(causes), np.int64) for causes in self.causes]
        for index, document in zip(self.read, self.documents, strict=True):
            owners = self.texts[index].owners(document.starts, document.ends)
            is_read = [cause is None for cause in self.causes[index]]
            counts[index] = np.bincount(owners[owners >= 0], minlength=len(is_read)) * is_read
        return [int(count) for entries in counts for count in entries]

    @property
    def readings(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each text that was read, and float32 `[n]` the log-probabilities of its tokens; NaN where not scored."""
        for index, document, entry in zip(self.read, self.documents, self.scores, strict=True):
            if entry is not None:
                for part, scores in excerpts(self.texts[index], document, entry):
                    yield part.text, scores.counted


def why_unread(passage: Any) -> list[str | None]:
    """Why each text of a passage cannot be edited; None for one that can."""
    if not isinstance(passage, Passage):
        return ["null" if passage is None else "not_text"]
    try:
        passage.text.encode("utf-8")
    except UnicodeEncodeError:
        return ["invalid_unicode"] * len(passage.spans)
    return [None if start < end else "empty" for start, end in passage.spans]
