"""A model without its output layer: three ways to run token ids through it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from hf_toedit.priors.allocator import keep_freed_memory
from hf_toedit.priors.attention import PackedAttention
from hf_toedit.priors.head import ROWS
from hf_toedit.priors.linear import use_onednn
from hf_toedit.priors.norm import has_fused_norm, use_fused_norms
from hf_toedit.priors.packing import Piece
from hf_toedit.priors.transfer import to_device

_SHARE = 32_768
"""Number of elements below which torch runs an elementwise function on fewer threads."""


class Body:
    """Computes hidden states of token ids; float `[T, hidden]`, in the order of the ids.

    Attributes:
        model: The model with its output layer.
        follows_longest: Whether rotary frequencies depend on the longest sequence of a forward pass (Phi-3's longrope),
            so that documents cannot share one.
        fused_norms: Number of RMSNorm modules that run as one kernel each.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        """Store the layers of a causal language model of `transformers`."""
        self.model = model
        body = model.base_model
        # For the language model of a multimodal family on its own, `base_model` is the model with its head.
        self._layers = getattr(body, "model", body) if body is model else body
        self._device = device
        self.fused_norms = 0
        if device.type == "cpu":
            use_onednn(self._layers)
            keep_freed_memory()
        elif device.type == "cuda" and has_fused_norm():
            self.fused_norms = use_fused_norms(self._layers)
        self.follows_longest = has_longrope(model)
        self._turn: Any = threading.Lock() if self.follows_longest else nullcontext()

    @property
    def hidden_size(self) -> int:
        """Size of the hidden states."""
        return self.model.config.get_text_config().hidden_size

    def packed(self, ids: Sequence[np.ndarray], pack: Sequence[Piece], attention: PackedAttention) -> torch.Tensor:
        """Run pieces one after another in one sequence, whose last rows may be padding.

        Args:
            ids: int64, token ids of each piece.
            pack: The pieces.
            attention: Keeps the pieces apart; the model has been switched to it.
        """
        positions = [np.arange(piece.start, piece.stop) for piece in pack]
        length = sum(map(len, pack))
        padding = np.zeros(self._padded_length(length) - length, dtype=np.int64)
        with attention.running(list(pack)):
            # With a mask of ones `transformers` does not wait for the device to check whether positions restart.
            return self._run(
                np.concatenate([*ids, padding])[None],
                position_ids=to_device(np.concatenate([*positions, padding])[None], self._device),
                attention_mask=torch.ones(1, length + len(padding), dtype=torch.bool, device=self._device),
            )[0]

    def padded(self, ids: Sequence[np.ndarray]) -> torch.Tensor:
        """Run sequences side by side, each padded at its end to the longest, where a causal model does not see it.

        So no mask is needed, whose memory would grow with the square of the length. The last token of each sequence is
        repeated, since `transformers` would warn about a padding token without a mask.
        """
        longest = max(map(len, ids))
        hidden = self._run(np.stack([np.pad(each, (0, longest - len(each)), mode="edge") for each in ids]))
        return (
            hidden[0] if len(ids) == 1 else torch.cat([row[: len(each)] for row, each in zip(hidden, ids, strict=True)])
        )

    def own_logits(self, ids: np.ndarray) -> torch.Tensor:
        """Return the model's own logits for one sequence; float32 `[T, vocabulary]`."""
        return self.model(input_ids=to_device(ids[None], self._device), use_cache=False).logits[0].float()

    def _run(self, ids: np.ndarray, **given: torch.Tensor) -> torch.Tensor:
        with self._turn:
            return self._layers(input_ids=to_device(ids, self._device), use_cache=False, **given).last_hidden_state

    def _padded_length(self, length: int) -> int:
        """Return a length at which each thread's share of an activation is whole vectors; on a GPU, `length` itself."""
        if self._device.type != "cpu":
            return length
        threads = torch.get_num_threads()
        least = max(length, -(-_SHARE * threads // self.hidden_size))
        return least + -least % (ROWS * threads)


def has_longrope(model: Any) -> bool:
    """Whether rotary frequencies depend on the longest sequence of a pass, which writes them into the model."""
    kinds = [getattr(module, "rope_type", None) for module in model.modules()]
    return any("longrope" in (kind.values() if isinstance(kind, dict) else [kind]) for kind in kinds)
