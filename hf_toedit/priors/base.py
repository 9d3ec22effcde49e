"""What an editor needs of a prior, and how one is loaded by name. No torch: a backend is imported when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import UsageError

BATCH_BYTES = 2**16
"""UTF-8 bytes of text in one call of `Prior.score`, in a run: enough to fill passes, and to lose little in a kill."""

_CALL_FLOPS = 1.5e12
"""Per thread of a CPU: about a quarter of a minute. With fewer, threads that divide documents would be idle."""

_BYTES_PER_TOKEN = 4


def batch_bytes_on_cpu(num_parameters: int, num_threads: int) -> int:
    """Bytes of text that take a large prior about as long as `BATCH_BYTES` take a small one.

    They depend on no measurement, so that a run that goes on has the same batches as before.

    Args:
        num_parameters: Of the prior; a token takes two operations for each.
        num_threads: Threads that share a call.
    """
    tokens = _CALL_FLOPS * num_threads / (2 * num_parameters)
    return min(BATCH_BYTES, int(tokens * _BYTES_PER_TOKEN))


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


def load_prior(config: PriorConfig, resources: Resources | None = None) -> Prior:
    """Load a prior by its settings.

    Args:
        config: which model, where it runs, in which dtype.
        resources: what it may use of this machine; None is the defaults.

    Raises:
        PriorError: it cannot be found, loaded or used.
        UsageError: the backend cannot use such resources.
    """
    resources = resources or Resources()
    if config.backend == "vllm":
        from hf_toedit.priors.vllm import VLLMPrior

        return VLLMPrior(config, resources)
    if resources.tensor_parallel > 1:
        raise UsageError("--tensor-parallel is for the vLLM backend. Leave it out, or say --backend vllm.")
    from hf_toedit.priors.transformers import TransformersPrior

    return TransformersPrior.from_config(config, resources)
