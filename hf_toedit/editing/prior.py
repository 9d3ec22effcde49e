"""What an editor needs of a language model: the `Prior` protocol, and the scores it answers with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.extensions import revision_of

BATCH_BYTES = 2**16
"""UTF-8 bytes of text in one call of `Prior.score`, in a run: enough to fill passes, and to lose little in a kill."""


@dataclass(frozen=True)
class DocumentScores:
    """What a prior says of one document of `n` tokens, `m` of them to be drawn again.

    Attributes:
        logprobs: float32 `[n]`, ln p(x_i | x_<i); NaN where not scored: context, the first token of a prior
            without BOS, and what was pruned.
        positions: int64 `[m]`, ascending: the eligible tokens that the rule selects.
        candidate_ids: int32 `[m, k]`, the prior's likeliest tokens there, likeliest first.
        candidate_logprobs: float32 `[m, k]`, theirs; -inf pads rows with fewer than k.
        sampled: bool `[n]`, the tokens that statistics are taken from where others were pruned; None is all.
    """

    logprobs: np.ndarray
    positions: np.ndarray
    candidate_ids: np.ndarray
    candidate_logprobs: np.ndarray
    sampled: np.ndarray | None = None

    @property
    def counted(self) -> np.ndarray:
        """float32 `[n]`: the log-probabilities that statistics are taken from, NaN elsewhere.

        Among pruned tokens those that are selected have one as well, and would make any mean too high.
        """
        return self.logprobs if self.sampled is None else np.where(self.sampled, self.logprobs, np.float32(np.nan))


class Prior(Protocol):
    """A causal language model that scores documents.

    Attributes:
        name: as it was asked for: `embedded`, a folder, or a Hub id.
        revision: what pins it: a commit sha, or a fingerprint of local files.
        dtype: of its weights, as `PriorConfig` names it, `auto` resolved.
        tokenizer: the fast tokenizer's backend.
        concurrency: how many threads may usefully call `score` at once; any number may.
        batch_bytes: UTF-8 bytes of text that a call of `score` should have in a run; a longer document is read whole.
    """

    name: str
    revision: str
    dtype: str
    tokenizer: Tokenizer
    concurrency: int
    batch_bytes: int

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        """Read each document once, whole, whatever its length; its own tokens are scored, context is only read.

        Args:
            documents: any number, in any order; the answer for one must not depend on the others.
            rule: which tokens need candidates, and how many.

        Returns:
            One entry a document, in order.

        Raises:
            PriorError: no document can be read here, as where memory runs out. Any other error is taken for the
                documents' own.
        """
        ...

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Write a conversation as the prior was trained to read it, by its chat template.

        Args:
            messages: each with `role` and `content`, and whatever else the template reads.

        Returns:
            The text, less a BOS that the prior puts before any text itself; None where it has no chat template.

        Raises:
            PriorError: the template refuses the conversation.
        """
        ...


class BasePrior:
    """What a prior of the user's own may be derived from: all that `Prior` asks for but its tokenizer and `score`.

    A run pins a prior by the attribute `revision` of its class; where the class has none, by a fingerprint of its
    module's source file. A class that reads other files that decide what it answers must say a revision.
    """

    dtype = "float32"
    concurrency = 1
    batch_bytes = BATCH_BYTES

    def __init__(self, config: PriorConfig, resources: Resources) -> None:
        """Take the name; nothing is loaded.

        Args:
            config: its settings.
            resources: what it may use of this machine.
        """
        self.name = config.prior
        self.revision = revision_of(type(self))

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """None, as it has no chat template; see `Prior.render`."""
        return None


def scores(
    document: Document,
    rule: SelectionRule,
    logprobs: np.ndarray,
    distributions: Callable[[np.ndarray], np.ndarray],
) -> DocumentScores:
    """What `Prior.score` answers for one document, from whole distributions.

    Args:
        document: `n` tokens.
        rule: which tokens need candidates, and how many.
        logprobs: float `[n]`, ln p(x_i | x_<i).
        distributions: called with the positions of the selected tokens, int `[m]`; returns the log-probabilities of all
            tokens of the vocabulary there, float `[m, vocabulary]`.
    """
    known = np.where(document.own, logprobs, np.nan).astype(np.float32)
    positions = np.flatnonzero(rule.selected(known) & document.eligible)
    everything = distributions(positions)
    asked = rule.candidates
    ids = np.argsort(-everything, axis=1, kind="stable")[:, : asked.count]
    best = np.take_along_axis(everything, ids, axis=1)
    if asked.mass is not None:
        total = np.exp(everything / asked.temperature).sum(axis=1, keepdims=True)
        mass = np.exp(best / asked.temperature) / total
        best = np.where(mass.cumsum(axis=1) - mass < asked.mass, best, -np.inf)
    return DocumentScores(known, positions, ids.astype(np.int32), best.astype(np.float32))
