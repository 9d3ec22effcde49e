"""The output layer in chunks of rows: log-probabilities of the tokens that are there, candidates where they are asked.

Memory is bounded by one chunk of float32 logits, whatever the pack and the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_toedit.editing.selection import SelectionRule

_LOGITS_PER_CHUNK = {"cpu": 2**22, "cuda": 2**27}


@dataclass(frozen=True)
class HeadScores:
    """Answers for `n` rows.

    Attributes:
        logprobs: float32 `[n]`.
        rows: int64 `[m]`, ascending: which of them have candidates.
        candidate_ids: int32 `[m, k]`.
        candidate_logprobs: float32 `[m, k]`, -inf pads.
    """

    logprobs: np.ndarray
    rows: np.ndarray
    candidate_ids: np.ndarray
    candidate_logprobs: np.ndarray


class Head:
    """A model's output layer, its weights in float32, with what the architecture does to logits after it."""

    def __init__(self, model: Any, device: torch.device) -> None:
        """Take the output embeddings of a model.

        Args:
            model: a causal language model of `transformers`.
            device: where it runs.
        """
        layer = model.get_output_embeddings()
        config = model.config.get_text_config()
        self._weight = layer.weight.detach().float()
        bias = getattr(layer, "bias", None)
        self._bias = None if bias is None else bias.detach().float()
        self._cap = getattr(config, "final_logit_softcapping", None)
        # Cohere multiplies by logit_scale, Granite divides by logits_scaling.
        self._factor = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        self.vocab_size = self._weight.shape[0]
        limit = _LOGITS_PER_CHUNK.get(device.type, _LOGITS_PER_CHUNK["cuda"])
        self._chunk_rows = max(limit // self.vocab_size // 16 * 16, 16)
        self._buffer = torch.empty(0, device=device)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Float32 logits of hidden states: `[n, hidden]` to `[n, vocabulary]`."""
        return self._transform(torch.mm(hidden.float(), self._weight.T))

    def score(
        self,
        hidden: torch.Tensor,
        rows: np.ndarray,
        targets: np.ndarray,
        eligible: np.ndarray,
        rule: SelectionRule,
        multiple: int,
    ) -> HeadScores:
        """Log-probability of a target at each row, and candidates where the rule selects an eligible one.

        Args:
            hidden: `[T, hidden]`.
            rows: int `[n]`, into `hidden`.
            targets: int64 `[n]`, the token that stands after each row.
            eligible: bool `[n]`.
            rule: what to select.
            multiple: rows of each matrix product are padded to a multiple of this.
        """
        padded = np.concatenate([rows, np.zeros(-len(rows) % multiple, dtype=rows.dtype)])
        index = torch.from_numpy(padded).to(hidden.device)
        goals = torch.from_numpy(targets).to(hidden.device)
        logprobs, chosen, ids, candidates = [], [], [], []
        for start in range(0, len(rows), self._chunk_rows):
            count = min(self._chunk_rows, len(rows) - start)
            logits = self._chunk(hidden[index[start : start + self._chunk_rows]])[:count]
            normalizer = torch.logsumexp(logits, dim=1)
            target = logits.gather(1, goals[start : start + count, None])[:, 0]
            scored = (target - normalizer).cpu().numpy()
            picked = np.flatnonzero(rule.selected(scored) & eligible[start : start + count])
            best, best_ids = _candidates(logits, normalizer, picked, rule)
            logprobs.append(scored)
            chosen.append(picked + start)
            ids.append(best_ids)
            candidates.append(best)
        return HeadScores(
            np.concatenate(logprobs), np.concatenate(chosen), np.concatenate(ids), np.concatenate(candidates)
        )

    def _chunk(self, hidden: torch.Tensor) -> torch.Tensor:
        """As `logits`, into a buffer that the next call overwrites."""
        if self._buffer.shape[0] < hidden.shape[0]:
            self._buffer = torch.empty(hidden.shape[0], self.vocab_size, device=hidden.device)
        return self._transform(torch.mm(hidden.float(), self._weight.T, out=self._buffer[: hidden.shape[0]]))

    def _transform(self, logits: torch.Tensor) -> torch.Tensor:
        """What the architecture does after the matrix product, in place."""
        if self._bias is not None:
            logits += self._bias
        if self._factor != 1:
            logits *= self._factor
        if self._cap:
            logits.div_(self._cap).tanh_().mul_(self._cap)
        return logits


def _candidates(
    logits: torch.Tensor, normalizer: torch.Tensor, picked: np.ndarray, rule: SelectionRule
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and ids of the likeliest tokens at the picked rows, likeliest first."""
    width = min(rule.num_candidates, logits.shape[1])
    if len(picked) == 0:
        return np.empty((0, width), np.float32), np.empty((0, width), np.int32)
    at = torch.from_numpy(picked).to(logits.device)
    chosen = logits[at]
    best, ids = chosen.topk(width, dim=1)
    logprobs = best - normalizer[at, None]
    if rule.config.sampler == "top-p":
        inside = _nucleus(chosen, best, rule)
        width = int(inside.sum(dim=1).max())
        logprobs, ids = logprobs.masked_fill(~inside, -torch.inf)[:, :width], ids[:, :width]
    return logprobs.cpu().numpy(), ids.to(torch.int32).cpu().numpy()


def _nucleus(logits: torch.Tensor, best: torch.Tensor, rule: SelectionRule) -> torch.Tensor:
    """Which of the likeliest tokens are in the nucleus: those before which less than top_p of the mass lies."""
    temperature = rule.config.temperature
    total = torch.logsumexp(logits / temperature, dim=1, keepdim=True)
    mass = (best / temperature - total).exp()
    return mass.cumsum(dim=1) - mass < rule.config.top_p
