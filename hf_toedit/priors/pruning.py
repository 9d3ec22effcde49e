"""Rows that cannot be selected, found by a slice of the output layer, and left out of the product with all of it.

Of the logits l, those of a slice S of the vocabulary bound the probability of a token t from above:

    p(t) <= exp(l_t) / (exp(l_t) + sum over v in S without t of exp(l_v))

A row whose bound lies below the threshold is not selected, whatever the other logits are. It is dropped, and its
probability is never known. All others are scored by `Head.score`, so what is selected, and drawn, is the same to the
last bit. A sample of the tokens is scored whatever the bound says: statistics of probabilities are taken from it alone.
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
"""Entries of the slice: the first, since BPE numbers tokens as it merges them, so that the most frequent come first."""

_LEAST_SLICES = 8
"""A vocabulary of fewer slices is not pruned: what is saved is little more than what the slice costs."""

_CHUNK_ROWS = 512

_ULPS = 2.0**-20
"""16 roundings of float32; see `Pruning._dropped`."""


def in_sample(document: Document) -> np.ndarray:
    """Which of a document's own tokens are scored whatever the bound says; bool `[n]`.

    They depend on nothing but the document. Multiples of the golden ratio (Knuth, The Art of Computer Programming 3,
    6.4) spread them evenly and keep no step with what repeats in a text; the sum of the ids lets them begin anywhere,
    or the first token of every text, the least likely one, would be among them.
    """
    places = np.arange(len(document), dtype=np.uint32) + np.uint32(document.ids.sum(dtype=np.int64) % 2**32)
    return (places * np.uint32(2_654_435_769) < 2**32 // SAMPLE) & document.own


class Pruning:
    """A head that scores only what may be selected, and the sample."""

    def __init__(self, head: Head) -> None:
        """Take the slice of a head."""
        self._head = head
        self._slice = head.first(_SLICE)

    @classmethod
    def of(cls, head: Head, name: str) -> Pruning | None:
        """Prune where it can pay; otherwise say that it cannot.

        Args:
            head: of the prior.
            name: of the prior.
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
        """As `Head.score`; a log-probability is NaN where a row is neither selected nor in the sample.

        Args:
            hidden: `[T, hidden]`.
            rows: int `[n]`, into `hidden`.
            targets: int64 `[n]`.
            eligible: bool `[n]`.
            sampled: bool `[n]`, the rows to score whatever the bound says.
            rule: what to select; see `SelectionRule.log_at_least`.
        """
        kept = np.flatnonzero(sampled | ~self._dropped(hidden, rows, targets, eligible, rule))
        logprobs = np.full(len(rows), np.nan, dtype=np.float32)
        if not len(kept):
            return HeadScores(logprobs, kept, np.empty((0, 0), np.int32), np.empty((0, 0), np.float32))
        scores = self._head.score(hidden, rows[kept], targets[kept], eligible[kept], rule)
        # NaN says that a row was left out: where the model overflowed, -inf says so.
        scored = np.where(np.isnan(scores.logprobs), np.float32(-np.inf), scores.logprobs)
        # Other rows are forgotten, or the last bits of the bound would show in what is known of a document.
        known = sampled[kept] | np.isinf(scored)
        known[scores.rows] = True
        logprobs[kept[known]] = scored[known]
        return HeadScores(logprobs, kept[scores.rows], scores.candidate_ids, scores.candidate_logprobs)

    def _dropped(
        self, hidden: torch.Tensor, rows: np.ndarray, targets: np.ndarray, eligible: np.ndarray, rule: SelectionRule
    ) -> np.ndarray:
        """Which rows are finite numbers that cannot be selected; bool `[n]`.

        How far a logit may be off: the rounding errors of a sum of d products add up to about sqrt(d) 2^-24 times the
        lengths of the two vectors (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019, where a factor of 8 is as good
        as certain); 16 times that is taken, and as much again of 16 for what is done to a logit afterwards, and for
        the logsumexp. Both a log-probability and the log-odds of the bound are a difference of two such numbers.
        """
        assert rule.log_at_least is not None  # only then is anything pruned
        index, goals = to_device(rows, hidden.device), to_device(targets, hidden.device)
        bounds = []
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = hidden[index[start : start + _CHUNK_ROWS]]
            ids = goals[start : start + _CHUNK_ROWS]
            others = self._slice.logits(chunk)
            inside = ids[:, None] == torch.arange(_SLICE, device=ids.device)
            odds = torch.logsumexp(others.masked_fill_(inside, -torch.inf), dim=1) - self._head.logits_of(chunk, ids)
            off = 2 * _ULPS * (math.sqrt(hidden.shape[1]) * self._head.magnitude(chunk) + 16)
            # (1 - p) / p at the smallest p that may be taken for the threshold.
            limit = torch.log(torch.expm1(off - float(rule.log_at_least))) + off
            bounds.append(torch.stack([odds > limit, torch.isfinite(odds)]))
        unlikely, finite = torch.cat(bounds, dim=1).cpu().numpy()
        return (unlikely | ~eligible) & finite
