"""Interface between an editor and a language model: the `Prior` protocol and the scores that it returns."""

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
"""UTF-8 bytes of text per call of `Prior.score` in a run: enough to fill passes, and little to lose if killed."""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class DocumentScores:
    """A prior's scores of one document of `n` tokens, `m` of which are to be resampled.

    Attributes:
        logprobs: float32 `[n]`, ln p(x_i | x_<i); NaN for tokens without a score: context, the first token of a prior
            without BOS, and pruned tokens.
        positions: int64 `[m]`, ascending: the eligible tokens that the rule selects.
        candidate_ids: int32 `[m, k]`, the prior's likeliest tokens at these positions, likeliest first.
        candidate_logprobs: float32 `[m, k]`, their log-probabilities; -inf pads rows with fewer than k.
        sampled: bool `[n]`, the tokens that statistics use if others were pruned; None is all tokens.
    """

    logprobs: np.ndarray
    positions: np.ndarray
    candidate_ids: np.ndarray
    candidate_logprobs: np.ndarray
    sampled: np.ndarray | None = None

    @property
    def counted(self) -> np.ndarray:
        """The log-probabilities that statistics use, float32 `[n]`; NaN elsewhere.

        With pruning, selected tokens have a log-probability as well, and would make any mean too high.
        """
        return self.logprobs if self.sampled is None else np.where(self.sampled, self.logprobs, np.float32(np.nan))


class Prior(Protocol):
    """A causal language model that scores documents.

    Attributes:
        name: Name as requested: `embedded`, a folder, or a Hub id.
        revision: What pins the prior: a commit sha, or a fingerprint of local files.
        dtype: Data type of the weights, as in `PriorConfig`, with `auto` resolved.
        tokenizer: Backend of the fast tokenizer.
        concurrency: Useful number of threads that call `score` at once; any number is allowed.
        batch_bytes: UTF-8 bytes of text per call of `score` in a run; a longer document is read whole.
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
            documents: Any number of documents, in any order; the result for one must not depend on the others.
            rule: Which tokens need candidates, and how many.

        Returns:
            One entry per document, in order.

        Raises:
            PriorError: No document can be read, for example because memory runs out. Any other error is treated as the
                documents' own.
        """
        ...

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Render a conversation as the prior was trained to read it, with its chat template.

        Args:
            messages: Messages with `role`, `content`, and other keys that the template reads.

        Returns:
            The text, without a BOS that the prior itself puts before any text; None if it has no chat template.

        Raises:
            PriorError: The template refuses the conversation.
        """
        ...


class BasePrior:
    """Base class for a user-defined prior: everything in `Prior` except its tokenizer and `score`.

    A run pins a prior by the attribute `revision` of its class or, if there is none, by a fingerprint of its module's
    source file. A class whose results depend on other files must define a revision.
    """

    dtype = "float32"
    concurrency = 1
    batch_bytes = BATCH_BYTES

    def __init__(self, config: PriorConfig, resources: Resources) -> None:
        """Store the name; nothing is loaded.

        Args:
            config: Settings of the prior.
            resources: Machine resources that it may use.
        """
        self.name = config.prior
        self.revision = revision_of(type(self))

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Return None, since it has no chat template; see `Prior.render`."""
        return None


def scores(
    document: Document,
    rule: SelectionRule,
    logprobs: np.ndarray,
    distributions: Callable[[np.ndarray], np.ndarray],
) -> DocumentScores:
    """Create the result of `Prior.score` for one document from complete distributions.

    Args:
        document: A document of `n` tokens.
        rule: Which tokens need candidates, and how many.
        logprobs: float `[n]`, ln p(x_i | x_<i).
        distributions: Callback; called with the positions of the selected tokens, int `[m]`, it returns the
            log-probabilities of all tokens of the vocabulary there, float `[m, vocabulary]`.
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
