"""Verification of edits: the prior scores the edited text, and edits that make later tokens less likely are reverted.

Let x be the tokens of a passage as a generation reads them, and x' the same tokens with all edits in place: the sampled
token at each changed position, deleted tokens left out. x' is not a new tokenization of the edited text, so each token
that is not edited is in both, and its two probabilities can be compared. The edit at position i changes the
log-likelihood of the following tokens by

    d(i) = sum over j of ln p(x_j | x'_<j) - ln p(x_j | x_<j)

where j is each of the m positions i + 1 to i + m that is part of a text to edit (context is not scored) and is not
edited itself. The edit is kept if d(i) >= -tau, and reverted otherwise. If there is no such j, as at the end of a
text, d(i) is 0 and the edit is kept.

All edits are in place when the text is scored again, so edits with fewer than m tokens between them share their
evidence. The text with the kept edits is not scored again. Deletions are part of x'; they are not verified themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_toedit.acceptance import Acceptance
from hf_toedit.editing.alignment import CONTEXT, Document
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.piece_table import PieceTable, Replacement
from hf_toedit.editing.prior import DocumentScores
from hf_toedit.editing.result import ScoredDocument, TokenEdit

PRUNED = (
    "--accept compares the probabilities of the tokens after an edit, and --prune does not compute most of them. "
    "Leave --prune or --accept out."
)
"""Error message for the combination of `--accept` and `--prune`."""


class Trial:
    """The edits of a passage, of which those that pass verification are kept.

    Attributes:
        document: The document for the prior to score, with all edits in place. Only the tokens that edits are judged
            by are marked as its own, and so are scored. None if there are none, so that every edit is kept.
    """

    def __init__(
        self,
        rule: Acceptance,
        passage: Passage,
        document: Document,
        scores: DocumentScores,
        readings: Sequence[ScoredDocument],
    ) -> None:
        """Apply the edits.

        Args:
            rule: Which edits are kept.
            passage: The passage that was read.
            document: Its `n` tokens.
            scores: Their scores; none of them pruned.
            readings: Readings of the passage's texts, in the order of the spans, with the sampled edits.
        """
        self._rule = rule
        self._readings = readings
        owners = passage.owners(document.starts, document.ends)
        self._tokens = [np.flatnonzero(owners == index) for index in range(len(readings))]
        edits = [
            edit._replace(position=int(tokens[edit.position]))
            for reading, tokens in zip(readings, self._tokens, strict=True)
            for edit in reading.edits()
        ]
        self._changed = np.array([edit.position for edit in edits if edit.token is not None], dtype=np.int64)
        is_judge = _follows(self._changed, rule.window, len(document)) & document.own
        is_judge[[edit.position for edit in edits]] = False
        self._judges = np.flatnonzero(is_judge)
        self._before = scores.logprobs[self._judges]
        self.document = _edited(document, edits, is_judge) if len(self._judges) else None

    def settled(self, scores: DocumentScores | None) -> list[ScoredDocument]:
        """Return the readings without the edits that are reverted.

        Args:
            scores: Scores of `document`; None if the prior fails on it. Then no edit can be verified, and none is kept.
        """
        assert self.document is not None
        rejected = self._changed
        if scores is not None:
            rejected = rejected[self._differences(scores.logprobs[self.document.own]) < -self._rule.tau]
        return [
            reading.rejecting(np.flatnonzero(np.isin(tokens, rejected)).tolist())
            for reading, tokens in zip(self._readings, self._tokens, strict=True)
        ]

    def _differences(self, after: np.ndarray) -> np.ndarray:
        """Return d(i) of each changed token, float64 `[c]`, from the log-probabilities of the judges, float32 `[j]`."""
        total = np.concatenate([[0.0], np.cumsum(after.astype(np.float64) - self._before)])
        first = np.searchsorted(self._judges, self._changed + 1)
        stop = np.searchsorted(self._judges, self._changed + 1 + self._rule.window)
        return total[stop] - total[first]


def _follows(positions: np.ndarray, window: int, length: int) -> np.ndarray:
    """Return which tokens have one of the given positions among the `window` tokens before them; bool `[length]`."""
    steps = np.zeros(length + 1, dtype=np.int64)
    np.add.at(steps, np.minimum(positions + 1, length), 1)
    np.add.at(steps, np.minimum(positions + 1 + window, length), -1)
    return np.cumsum(steps[:length]) > 0


def _edited(document: Document, edits: Sequence[TokenEdit], is_judge: np.ndarray) -> Document:
    """Return a document with edits applied, of which only the judges (bool `[n]`, in the old document) are scored."""
    positions = [edit.position for edit in edits]
    starts, ends = document.starts[positions], document.ends[positions]
    ids = document.ids.copy()
    ids[positions] = [-1 if edit.token is None else edit.token for edit in edits]
    replacements = [
        Replacement(start, end, edit.text)
        for start, end, edit in zip(starts.tolist(), ends.tolist(), edits, strict=True)
    ]
    # The growth of the text, in characters, after each number of edits.
    grown = np.array([len(edit.text) for edit in edits]) - (ends - starts)
    moved = np.concatenate([[0], np.cumsum(grown)]).astype(np.int32)
    kept = ids >= 0
    return Document(
        text=PieceTable(document.text).apply(replacements, 1).text,
        ids=ids[kept],
        starts=(document.starts + moved[np.searchsorted(ends, document.starts, side="right")])[kept],
        ends=(document.ends + moved[np.searchsorted(ends, document.ends, side="right")])[kept],
        causes=np.where(is_judge, document.causes, CONTEXT).astype(np.uint8)[kept],
    )
