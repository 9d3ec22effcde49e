"""Pruning: rows that cannot be selected, according to a slice of the output layer, skip the complete output layer.

Of the logits l, those of a slice S of the vocabulary bound the probability of a token t from above:

    p(t) <= exp(l_t) / (exp(l_t) + sum over v in S without t of exp(l_v))

A row whose bound is below the threshold is not selected, whatever the other logits are. It is dropped, and its
probability is never known. All others are scored by `Head.score`, so the selected and sampled tokens are the same to
the last bit. A sample of the tokens is scored regardless of the bound; statistics of probabilities use only the sample.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch

from hf_toedit.editing.alignment import Document
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.head import Head, HeadScores
from hf_toedit.priors.transfer import to_device
from hf_toedit.stats import SAMPLE

logger = logging.getLogger(__name__)

_SLICE = 2048
"""Size of the slice, the first entries: BPE numbers tokens as it merges them, so the most frequent come first."""

_LEAST_SLICES = 8
"""A vocabulary of fewer slices is not pruned: the savings are little more than the cost of the slice."""

_CHUNK_ROWS = 512

_ULPS = 2.0**-20
"""16 roundings of float32; see `Pruning._dropped`."""


def in_sample(document: Document) -> np.ndarray:
    """Return which of a document's own tokens are scored regardless of the bound; bool `[n]`.

    They depend only on the document. Multiples of the golden ratio (Knuth, The Art of Computer Programming 3, 6.4)
    spread them evenly and do not align with repetitions in a text. The sum of the ids shifts where they begin;
    otherwise they would include the first token of every text, the least likely one.
    """
    places = np.arange(len(document), dtype=np.uint32) + np.uint32(document.ids.sum(dtype=np.int64) % 2**32)
    return (places * np.uint32(2_654_435_769) < 2**32 // SAMPLE) & document.own


class Pruning:
    """A head that scores only rows that may be selected, and the sample."""

    def __init__(self, head: Head) -> None:
        """Create the slice of a head."""
        self._head = head
        self._slice = head.first(_SLICE)

    @classmethod
    def of(cls, head: Head, name: str) -> Pruning | None:
        """Create pruning if it can save time; otherwise log that it cannot.

        Args:
            head: Head of the prior.
            name: Name of the prior.
        """
        if head.vocab_size >= _LEAST_SLICES * _SLICE:
            return cls(head)
        logger.warning(
            "prior %r: nothing is pruned, since that would gain nothing with a vocabulary of %d.", name, head.vocab_size
        )
        return None

    def score(
        self,
        hidden: torch.Tensor,
        rows: np.ndarray,
        targets: np.ndarray,
        eligible: np.ndarray,
        sampled: np.ndarray,
        rule: SelectionRule,
    ) -> HeadScores:
        """Score as `Head.score` does; a log-probability is NaN for a row that is neither selected nor in the sample.

        Args:
            hidden: `[T, hidden]`.
            rows: int `[n]`, indices into `hidden`.
            targets: int64 `[n]`.
            eligible: bool `[n]`.
            sampled: bool `[n]`, the rows to score regardless of the bound.
            rule: Which tokens to select; see `SelectionRule.log_at_least`.
        """
        kept = np.flatnonzero(sampled | ~self._dropped(hidden, rows, targets, eligible, rule))
        logprobs = np.full(len(rows), np.nan, dtype=np.float32)
        if not len(kept):
            return HeadScores(logprobs, kept, np.empty((0, 0), np.int32), np.empty((0, 0), np.float32))
        scores = self._head.score(hidden, rows[kept], targets[kept], eligible[kept], rule)
        # NaN marks a row that was left out, so a model's overflow is marked with -inf.
        scored = np.where(np.isnan(scores.logprobs), np.float32(-np.inf), scores.logprobs)
        # Discard other rows: otherwise the last bits of the bound would affect what is known of a document.
        known = sampled[kept] | np.isinf(scored)
        known[scores.rows] = True
        logprobs[kept[known]] = scored[known]
        return HeadScores(logprobs, kept[scores.rows], scores.candidate_ids, scores.candidate_logprobs)

    def _dropped(
        self, hidden: torch.Tensor, rows: np.ndarray, targets: np.ndarray, eligible: np.ndarray, rule: SelectionRule
    ) -> np.ndarray:
        """Return which rows are finite numbers that cannot be selected; bool `[n]`.

        Error of a logit: the rounding errors of a sum of d products add up to about sqrt(d) 2^-24 times the lengths of
        the two vectors (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019, where a factor of 8 is practically certain).
        The bound here is 16 times that, and as much again of 16 for later operations on a logit, and for the logsumexp.
        Both a log-probability and the log-odds of the bound are a difference of two such numbers.
        """
        assert rule.log_at_least is not None  # the condition for pruning
        index, goals = to_device(rows, hidden.device), to_device(targets, hidden.device)
        bounds = []
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = hidden[index[start : start + _CHUNK_ROWS]]
            ids = goals[start : start + _CHUNK_ROWS]
            others = self._slice.logits(chunk)
            inside = ids[:, None] == torch.arange(_SLICE, device=ids.device)
            odds = torch.logsumexp(others.masked_fill_(inside, -torch.inf), dim=1) - self._head.logits_of(chunk, ids)
            off = 2 * _ULPS * (math.sqrt(hidden.shape[1]) * self._head.magnitude(chunk) + 16)
            # (1 - p) / p at the smallest p that may be rounded to the threshold.
            limit = torch.log(torch.expm1(off - float(rule.log_at_least))) + off
            bounds.append(torch.stack([odds > limit, torch.isfinite(odds)]))
        unlikely, finite = torch.cat(bounds, dim=1).cpu().numpy()
        return (unlikely | ~eligible) & finite
