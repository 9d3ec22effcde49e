"""Token sampling in `generate` of transformers by keyed uniforms, without the state of a random generator.

`generate` runs without sampling; at each position, a logits processor leaves only one token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hf_toedit.editing.sampling import KeyedUniforms
from hf_toedit.generation.config import GenerateConfig

_GENERATION = 0
"""Keys the samples in place of a generation number, which starts at 1 for edits."""


def uniforms(seed: int, keys: Sequence[str], num_candidates: int, length: int) -> np.ndarray:
    """Return the uniforms of the samples; float64 `[rows * candidates, length]` in [0, 1).

    The candidates of a row are adjacent.

    Args:
        seed: The run's random seed.
        keys: The text of each row.
        num_candidates: Number of candidates per row.
        length: Number of positions; it does not affect the values of earlier positions.
    """
    keyed = [KeyedUniforms(seed, _GENERATION, key) for key in keys]
    streams = [one.stream(number, length) for one in keyed for number in range(num_candidates)]
    return np.array(streams).reshape(len(keys) * num_candidates, length)


class Picking(LogitsProcessor):
    """Picks the token at each position, and keeps its log-probability."""

    def __init__(self, config: GenerateConfig, drawn: np.ndarray | None) -> None:
        """Store the settings.

        Args:
            config: How to generate.
            drawn: See `uniforms`; None takes the most likely token.
        """
        self._drawn = drawn
        self._warpers = warpers(config)
        self._logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Mask all but one token in each row of the logits `[rows, vocabulary]`."""
        logits = scores.float()
        if self._drawn is None:
            picked = logits.argmax(dim=-1)
        else:
            drawn = torch.from_numpy(self._drawn[:, len(self._logprobs)].copy()).to(logits.device)
            picked = pick(self._warpers(input_ids, logits), drawn)
        self._logprobs.append(logits.log_softmax(dim=-1).gather(1, picked[:, None])[:, 0])
        only = torch.full_like(scores, -torch.inf)
        only.scatter_(1, picked[:, None], 0.0)
        return only  # type: ignore[return-value]

    def logprobs(self) -> np.ndarray:
        """Return the log-probabilities of the tokens under the model, at temperature 1; float64 `[rows, positions]`."""
        return torch.stack(self._logprobs, dim=1).double().cpu().numpy()


def warpers(config: GenerateConfig) -> LogitsProcessorList:
    """Return the processors that change logits before sampling: those of transformers, in its order."""
    found = LogitsProcessorList()
    if config.temperature not in (None, 1.0):
        found.append(TemperatureLogitsWarper(config.temperature))
    if config.top_k is not None:
        found.append(TopKLogitsWarper(config.top_k))
    if config.top_p is not None and config.top_p < 1:
        found.append(TopPLogitsWarper(config.top_p))
    return found


def pick(logits: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Sample by the inverse of the cumulative distribution over token ids.

    Args:
        logits: `[rows, vocabulary]`; -inf is never picked.
        drawn: Uniforms; float64 `[rows]` in [0, 1).

    Returns:
        int64 `[rows]`.
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    # Compared with the rounded sum: the first entry above it is one that increased the sum, so never one of probability
    # 0.
    return torch.searchsorted(cumulative, drawn[:, None] * cumulative[:, -1:], right=True)[:, 0]
