"""Shared code of scorers that read a row's texts as one: finding rows, handling failures, and counting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.apart import EXAMPLE, read_apart
from hf_toedit.editing.prior import BATCH_BYTES
from hf_toedit.errors import PriorError
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.row_texts import RowTexts, row_texts
from hf_toedit.scorers.scorer import Prepared, RowScores, Score

FAILED = "scorer_failed"
"""Skip cause of texts on which a scorer fails."""


@dataclass(frozen=True)
class Tokenized:
    """The text of a row as a scorer reads it.

    Attributes:
        text: The whole text.
        windows: Parts that are read one after the other; their own tokens (`Document.own`) are those of the text.
        type_ids: int64 `[n]` of each window, if the model has token types.
    """

    text: str
    windows: Sequence[Document]
    type_ids: Sequence[np.ndarray] = ()

    def __len__(self) -> int:
        """Return the number of tokens of the text."""
        return sum(map(num_own, self.windows))


def num_own(window: Document) -> int:
    """Return the number of a window's tokens that belong to the text."""
    return int(window.own.sum())


class _State(NamedTuple):
    found: RowTexts
    read: list[Tokenized]


class WholeRowScorer(ABC):
    """A `Scorer` that gives the text of a row, see `row_texts`, a value in each field.

    Attributes:
        what: Word for the model in messages.
        name: Name of the model.
        fields: Its fields and their types.
    """

    what = "scorer"
    concurrency = 1
    batch_bytes = BATCH_BYTES
    name: str
    fields: Mapping[str, str]

    @abstractmethod
    def _tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokenize the texts of rows."""

    @abstractmethod
    def _answers(self, read: Sequence[Tokenized], reasons: list[str]) -> list[dict[str, Score] | None]:
        """Return the values of each text; see `read_apart`."""

    def _render(self, messages: list[dict[str, Any]]) -> str | None:
        """Render a conversation; see `Prior.render`."""
        return None

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""
        found = row_texts(table, texts, self._render)
        read = self._tokenize(found.texts)
        num_tokens = np.zeros(len(table), np.int64)
        num_tokens[found.rows] = list(map(len, read))
        documents = [window for entry in read for window in entry.windows if window.own.any()]
        return Prepared(len(table), documents, num_tokens, _State(found, read))

    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`."""
        found, read = prepared.state
        reasons: list[str] = []
        answers = read_apart(self._answers, read, reasons, self.what)
        if read and all(answer is None for answer in answers):
            self._check_works(reasons)
        nothing: dict[str, Score] = dict.fromkeys(self.fields)
        scored = RowScores(
            [dict(nothing) for _ in range(prepared.num_rows)],
            num_documents=sum(found.num_read) + found.num_skipped.total(),
            num_tokens=0,
            num_skipped=dict(found.num_skipped),
            skip_reasons=dict(found.skip_reasons),
        )
        failed: Counter[str] = Counter()
        for row, count, entry, answer in zip(found.rows, found.num_read, read, answers, strict=True):
            if answer is None:
                failed[FAILED] += count
            else:
                scored.rows[row] = answer
                scored.num_tokens += len(entry)
        scored.num_skipped.update(failed)
        if failed:
            scored.skip_reasons[FAILED] = min(reasons)
        return scored

    def read(self, documents: Sequence[Document]) -> None:
        """See `Scorer`."""
        self._answers([Tokenized(_text(document), [document]) for document in documents], [])

    def _check_works(self, reasons: list[str]) -> None:
        """Check that the model can score an example; if so, the failure is due to the texts, and the run continues.

        Raises:
            PriorError: The model cannot score the example.
        """
        if read_apart(self._answers, self._tokenize([EXAMPLE]), [], self.what) == [None]:
            raise PriorError(
                f"{self.what} {self.name!r} fails on every text: {min(reasons)} Fix its cause, or use another one."
            )


def _text(document: Document) -> str:
    """Return the part of a possibly truncated text that a document has tokens for."""
    own = np.flatnonzero(document.own)
    return document.text[document.starts[own[0]] : document.ends[own[-1]]]
