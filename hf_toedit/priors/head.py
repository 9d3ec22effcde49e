"""The output layer in chunks of rows: log-probabilities of the given tokens, and candidates where needed.

Memory is bounded by a few chunks of float32 logits per thread, whatever the pack and the vocabulary. The host waits for
the device once per chunk, for the log-probabilities, and once at the end, for the candidates.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear

from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from hf_toedit.priors.linear import fast_linear
from hf_toedit.priors.tf32 import HALF, tf32
from hf_toedit.priors.transfer import to_device

ROWS = 32
"""Rows of a matrix product, and vector elements of an elementwise function, are processed in multiples of this."""

_LOGITS_PER_CHUNK = {"cpu": 2**23, "cuda": 2**27}
"""On a CPU, such a chunk is small enough to be kept when freed (`allocator`), with enough rows for a product."""

_FEWEST_ROWS = {"cpu": 96, "cuda": 256}
"""Minimum number of rows of a chunk, however large the vocabulary; with fewer, loading the weights limits a product."""

_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Settings that bound the logits: of Gemma, RecurrentGemma and xLSTM."""

_FACTORS = ("logit_scale", "lm_head_multiplier", "output_multiplier")
"""Settings that the logits are multiplied by: of Cohere, Falcon-H1 and Muse."""

_PLAIN = (torch.float32, *HALF)
"""Data types of weights that are not quantized."""


@dataclass(frozen=True)
class HeadScores:
    """Scores of `n` rows.

    Attributes:
        logprobs: float32 `[n]`.
        rows: int64 `[m]`, ascending: the rows that have candidates.
        candidate_ids: int32 `[m, k]`.
        candidate_logprobs: float32 `[m, k]`, padded with -inf.
    """

    logprobs: np.ndarray
    rows: np.ndarray
    candidate_ids: np.ndarray
    candidate_logprobs: np.ndarray


class Head:
    """A model's output layer, computed in float32, with the architecture's transformation of the logits.

    Products of two bfloat16 or float16 numbers are exact in float32. If the device multiplies such matrices and sums in
    float32, at the rate of its tensor cores, the result equals the product of the operands converted to float32, except
    for the order of the sum. Otherwise the weights are kept in float32; on CUDA, those that were half precision are
    multiplied in TF32, where such products are exact as well.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        """Store the output embeddings of a model.

        Args:
            model: Causal language model of `transformers`.
            device: Device of the model.

        Raises:
            PriorError: The weights of the layer are quantized.
        """
        layer = model.get_output_embeddings()
        config = model.config.get_text_config()
        weight = getattr(layer, "weight", None)
        if weight is None or weight.dtype not in _PLAIN:
            raise PriorError(
                "the output layer of the prior is quantized, and log-probabilities are computed in float32. Name a "
                "prior whose output layer is not quantized."
            )
        weight = weight.detach()
        self._mixed = _multiplies_into_float32(weight)
        self._tf32 = device.type == "cuda" and not self._mixed and weight.dtype in HALF
        self._weight = weight if self._mixed else weight.float()
        bias = getattr(layer, "bias", None)
        self._bias = None if bias is None else bias.detach().float()
        self._cap = _first_of(config, _CAPS)
        self._factor = _factor(config)
        self.vocab_size = self._weight.shape[0]
        kind = "cpu" if device.type == "cpu" else "cuda"
        self._fewest_rows = _FEWEST_ROWS[kind]
        self._chunk_rows = max(_LOGITS_PER_CHUNK[kind] // self.vocab_size // ROWS * ROWS, self._fewest_rows)
        self._multiply = fast_linear if device.type == "cpu" else linear

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 logits of hidden states: `[n, hidden]` to `[n, vocabulary]`."""
        return self._transform(self._product(hidden), self._bias)

    def logits_of(self, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return the float32 logit of one entry per row: `[n, hidden]` and int64 `[n]` to `[n]`."""
        logits = (hidden.float() * self._weight[ids].float()).sum(dim=1)
        return self._transform(logits, None if self._bias is None else self._bias[ids])

    def shrink(self) -> bool:
        """Halve the chunks of logits; return False if they are already as small as allowed."""
        if self._chunk_rows <= self._fewest_rows:
            return False
        self._chunk_rows = max(self._chunk_rows // 2 // ROWS * ROWS, self._fewest_rows)
        return True

    def first(self, count: int) -> Head:
        """Return the head for the first `count` entries of the vocabulary."""
        part = copy.copy(self)
        part._weight, part._bias = self._weight[:count], None if self._bias is None else self._bias[:count]
        part.vocab_size = count
        return part

    def magnitude(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return an upper bound on the absolute logits per row, before capping, from norms: `[n, hidden]` to `[n]`."""
        weight, bias = self._largest
        return (torch.linalg.vector_norm(hidden, dim=1, dtype=torch.float) * weight + bias) * abs(self._factor)

    @cached_property
    def _largest(self) -> tuple[float, float]:
        """Norm of the longest vector of the weights; largest bias."""
        longest = torch.linalg.vector_norm(self._weight, dim=1, dtype=torch.float).max()
        return float(longest), 0.0 if self._bias is None else float(self._bias.abs().max())

    def score(
        self,
        hidden: torch.Tensor,
        rows: np.ndarray,
        targets: np.ndarray,
        eligible: np.ndarray,
        rule: SelectionRule,
    ) -> HeadScores:
        """Return the log-probability of a target per row, and candidates where the rule selects an eligible one.

        Args:
            hidden: `[T, hidden]`.
            rows: int `[n]`, indices into `hidden`.
            targets: int64 `[n]`, the token that follows each row.
            eligible: bool `[n]`.
            rule: Which tokens to select.
        """
        padded = np.concatenate([rows, np.zeros(-len(rows) % ROWS, dtype=rows.dtype)])
        index = to_device(padded, hidden.device)
        goals = to_device(targets, hidden.device)
        logprobs, chosen, ids, candidates = [], [], [], []
        for start in range(0, len(rows), self._chunk_rows):
            count = min(self._chunk_rows, len(rows) - start)
            known = _log_softmax(self.logits(hidden[index[start : start + self._chunk_rows]])[:count])
            scored = known.gather(1, goals[start : start + count, None])[:, 0].cpu().numpy()
            picked = np.flatnonzero(rule.selected(scored) & eligible[start : start + count])
            best, best_ids = _candidates(known, picked, rule)
            logprobs.append(scored)
            chosen.append(picked + start)
            ids.append(best_ids)
            candidates.append(best)
        return HeadScores(
            np.concatenate(logprobs),
            np.concatenate(chosen),
            torch.cat(ids).cpu().numpy(),
            torch.cat(candidates).cpu().numpy(),
        )

    def _product(self, hidden: torch.Tensor) -> torch.Tensor:
        if self._mixed and hidden.dtype == self._weight.dtype:
            return torch.mm(hidden, self._weight.T, out_dtype=torch.float)
        if self._tf32 and hidden.dtype in HALF:
            with tf32():
                return self._multiply(hidden.float(), self._weight)
        return self._multiply(hidden.float(), self._weight.float())

    def _transform(self, logits: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Apply the architecture's transformation after the matrix product, in place."""
        if bias is not None:
            logits += bias
        if self._factor != 1:
            logits *= self._factor
        if self._cap:
            logits.div_(self._cap).tanh_().mul_(self._cap)
        return logits


def _factor(config: Any) -> float:
    """Return what an architecture multiplies its logits by."""
    scaling = _first_of(config, ("logits_scaling",)) or 1.0  # Granite divides by it, and HyperCLOVA X multiplies.
    scaling = scaling if config.model_type.startswith("hyperclovax") else 1 / scaling
    return _first_of(config, _FACTORS) or scaling


def _first_of(config: Any, names: Sequence[str]) -> float | None:
    """Return the first of several settings that a model's configuration has, other than zero."""
    return next((value for name in names if (value := getattr(config, name, None))), None)


@torch.inference_mode()
def _multiplies_into_float32(weight: torch.Tensor) -> bool:
    """Whether the device multiplies matrices of the weights' dtype into a float32 one, as CUDA does since torch 2.8."""
    if weight.dtype not in HALF:
        return False
    few = weight[:16]
    try:
        product = torch.mm(few, few.T, out_dtype=torch.float)
    except (RuntimeError, TypeError):  # not supported on this device; or not in this version
        return False
    expected = few.float() @ few.float().T
    # Relative to the largest value, float32 sums differ by far less, and products rounded to the dtype by more.
    return bool((product - expected).abs().max() <= 1e-4 * expected.abs().max())


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities of all tokens; in place on a CPU, where fresh memory costs more than the arithmetic."""
    return torch.log_softmax(logits, dim=1, out=logits if logits.device.type == "cpu" else None)


def _candidates(logprobs: torch.Tensor, picked: np.ndarray, rule: SelectionRule) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities and int32 ids of the likeliest tokens at the picked rows, likeliest first."""
    chosen = logprobs[to_device(picked, logprobs.device)]
    best, ids = chosen.topk(min(rule.num_candidates, logprobs.shape[1]), dim=1)
    if rule.candidates.mass is not None:
        outside = ~_nucleus(chosen, best, rule.candidates.mass, rule.candidates.temperature)
        best, ids = best.masked_fill(outside, -torch.inf), ids.masked_fill(outside, 0)
    return best, ids.to(torch.int32)


def _nucleus(logprobs: torch.Tensor, best: torch.Tensor, most: float, temperature: float) -> torch.Tensor:
    """Return which of the likeliest tokens are in the nucleus: those before which less than `most` of the mass is."""
    total = torch.logsumexp(logprobs / temperature, dim=1, keepdim=True)
    mass = (best / temperature - total).exp()
    return mass.cumsum(dim=1) - mass < most
