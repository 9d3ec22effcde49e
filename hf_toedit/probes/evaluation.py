"""Evaluation: the likelihood of held-out documents under a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from hf_toedit.config import EditConfig
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from hf_toedit.priors.loading import LoadedModel
from hf_toedit.priors.transformers import TransformersPrior

_BATCH_TOKENS = 2**16
"""Number of tokens scored in one call."""


@dataclass(frozen=True)
class EvalSet:
    """A set of held-out documents.

    Attributes:
        name: Name of the set.
        documents: Tokenized documents.
        texts: Texts of each document, without context.
    """

    name: str
    documents: Sequence[Document]
    texts: Sequence[Sequence[str]]

    @property
    def num_tokens(self) -> int:
        """Number of tokens of its texts."""
        return sum(int(document.own.sum()) for document in self.documents)


@dataclass(frozen=True)
class Scores:
    """A model's likelihoods of the documents of a set.

    Attributes:
        nll: Negative log-likelihood of each document, summed over tokens, in nats; float64 `[n]`.
        num_tokens: Number of these tokens; int64 `[n]`.
    """

    nll: np.ndarray
    num_tokens: np.ndarray


def reader_of(model: Any, tokenizer: Any, name: str, context: int) -> TransformersPrior:
    """Return a model as a prior, which scores documents of any length in windows.

    Args:
        model: A model of `transformers`.
        tokenizer: Its tokenizer.
        name: Name for messages.
        context: Number of tokens per window.

    Raises:
        PriorError: The model is not causal.
    """
    return TransformersPrior(LoadedModel(model.eval(), tokenizer, "", context, model.device), name)


def evaluate(reader: TransformersPrior, sets: Sequence[EvalSet]) -> Mapping[str, Scores]:
    """Score all documents of all sets.

    Args:
        reader: Output of `reader_of`.
        sets: The sets.

    Raises:
        PriorError: A document has no finite likelihood, for example after a training that diverged.
    """
    rule = SelectionRule.of(EditConfig(select="none"))
    found = {}
    for one in sets:
        answers = chain.from_iterable(reader.score(batch, rule) for batch in _batches(one.documents))
        logprobs = [answer.logprobs[~np.isnan(answer.logprobs)].astype(np.float64) for answer in answers]
        scores = Scores(
            np.array([-values.sum() for values in logprobs]), np.array([len(values) for values in logprobs], np.int64)
        )
        # The first token of a document has no likelihood if nothing precedes it; any other NaN is an error.
        fewest = np.array([int(document.own.sum()) - 1 for document in one.documents])
        if not np.isfinite(scores.nll).all() or (scores.num_tokens < fewest).any() or not scores.num_tokens.sum():
            raise PriorError(
                f"a trained model gives no finite likelihood of evaluation set {one.name!r}: its training diverged. "
                f"Lower --learning-rate."
            )
        found[one.name] = scores
    return found


def _batches(documents: Sequence[Document]) -> list[Sequence[Document]]:
    ends = np.cumsum([len(document) for document in documents])
    borders = np.flatnonzero(np.diff(ends // _BATCH_TOKENS)) + 1
    edges = [0, *borders.tolist(), len(documents)]
    return [documents[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]
