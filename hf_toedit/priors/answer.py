"""A prior's scores of one document, collected pack by pack."""

from __future__ import annotations

import numpy as np

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.prior import DocumentScores
from hf_toedit.priors.head import HeadScores


class Answer:
    """Collects the scores of one document from the packs."""

    def __init__(self, document: Document, sampled: np.ndarray | None = None) -> None:
        """Create an answer with no token scored; `sampled` is as in `DocumentScores`."""
        self.document = document
        self.sampled = sampled
        self._logprobs = np.full(len(document), np.nan, dtype=np.float32)
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def take(self, tokens: np.ndarray, scores: HeadScores, offset: int) -> None:
        """Store the rows of `scores` from `offset` on for the document's `tokens`; int `[n]`, ascending.

        Threads may call this concurrently for different tokens.
        """
        stop = offset + len(tokens)
        self._logprobs[tokens] = scores.logprobs[offset:stop]
        low, high = np.searchsorted(scores.rows, [offset, stop])
        # A nucleus is mostly much narrower than its maximum; the copies release the arrays of the whole pack.
        logprobs = scores.candidate_logprobs[low:high]
        width = np.count_nonzero((logprobs != -np.inf).any(axis=0))
        positions = tokens[scores.rows[low:high] - offset]
        self._parts.append((positions, scores.candidate_ids[low:high, :width].copy(), logprobs[:, :width].copy()))

    def finish(self) -> DocumentScores:
        """Return the scores of the whole document, in whatever order its tokens came."""
        if not self._parts:
            none = np.empty(0, np.int64), np.empty((0, 0), np.int32), np.empty((0, 0), np.float32)
            return DocumentScores(self._logprobs, *none, self.sampled)
        parts, ids, candidates = zip(*self._parts, strict=True)
        width = max(part.shape[1] for part in ids)
        positions = np.concatenate(parts)
        order = np.argsort(positions)
        return DocumentScores(
            self._logprobs,
            positions[order],
            np.concatenate([_widen(part, width, 0) for part in ids])[order],
            np.concatenate([_widen(part, width, -np.inf) for part in candidates])[order],
            self.sampled,
        )


def _widen(array: np.ndarray, width: int, fill: float) -> np.ndarray:
    """Pad the second axis to `width`."""
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)
