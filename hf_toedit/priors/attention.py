"""Attention over a pack: each document attends to itself only, and long ones continue on kept keys and values.

Registered with `transformers` as an attention implementation, so that any architecture that calls attention through
that interface runs in packs, without padding and without a dense block mask.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from hf_toedit.priors.packing import Piece, Window

IMPLEMENTATION = "toedit_packed"

_active = threading.local()


class UnsupportedAttention(NotImplementedError):
    """An architecture asks for something that packed attention does not do."""


class PackedAttention:
    """The pieces of the pack under way, and the keys and values of the windows that go on in a later one."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._pack: list[Piece] = []
        self._kept: dict[tuple[Window, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self._local_masks: set[int] = set()
        self._windows: set[int | None] = set()

    def covers(self, context: int) -> bool:
        """Whether each local attention, shorter than the context, that had a mask asked for reached `attend`."""
        return all(size in self._windows for size in self._local_masks if 0 < size < context)

    def note_mask(self, local_size: int | None) -> None:
        """Note that the architecture asks for a mask: causal where `local_size` is None, else a window or chunks."""
        if local_size is not None:
            self._local_masks.add(local_size)

    @contextmanager
    def running(self, pack: list[Piece]) -> Iterator[None]:
        """Have the attention calls of this thread work on `pack`."""
        self._pack = pack
        _active.attention = self
        try:
            yield
        finally:
            _active.attention = None

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        sliding_window: int | None,
    ) -> torch.Tensor:
        """Causal attention piece by piece.

        Args:
            layer: tells the layers apart.
            query: `[1, heads, T, d]`, after rotary embedding; positions past the last piece are padding.
            key: `[1, kv_heads, T, d]`.
            value: `[1, kv_heads, T, d_v]`.
            scaling: factor on the products; None is d ** -0.5.
            sliding_window: keys each query sees at most; None is all.

        Returns:
            `[1, T, heads, d_v]`, zero on padding.
        """
        self._windows.add(sliding_window)
        output = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])
        offset = 0
        for piece in self._pack:
            rows = slice(offset, offset + len(piece))
            keys, values = self._with_kept(layer, piece, key[:, :, rows], value[:, :, rows])
            mask = _mask(len(piece), keys.shape[2], sliding_window, query.device)
            attended = scaled_dot_product_attention(
                query[:, :, rows],
                keys,
                values,
                attn_mask=mask,
                is_causal=mask is None and len(piece) > 1,
                scale=scaling,
                enable_gqa=keys.shape[1] != query.shape[1],
            )
            output[:, rows] = attended.transpose(1, 2)
            offset += len(piece)
        return output

    def _with_kept(
        self, layer: int, piece: Piece, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kept = self._kept.pop((piece.window, layer), None)
        if kept is not None:
            key, value = torch.cat([kept[0], key], dim=2), torch.cat([kept[1], value], dim=2)
        if not piece.last:
            self._kept[piece.window, layer] = (key, value)
        return key, value


def _mask(num_queries: int, num_keys: int, sliding_window: int | None, device: torch.device) -> torch.Tensor | None:
    """Bool `[num_queries, num_keys]`, True where a query sees a key; None where that is plain causal attention."""
    windowed = sliding_window is not None and sliding_window < num_keys
    if num_queries == num_keys and not windowed:
        return None
    past = num_keys - num_queries
    seen = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(past)
    return seen.triu(past - sliding_window + 1) if windowed and sliding_window else seen


def _packed_attention_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The face that `transformers` calls; refuses what would silently change the result."""
    attention: PackedAttention | None = getattr(_active, "attention", None)
    altered = [name for name in ("softcap", "s_aux", "position_bias", "head_mask") if kwargs.get(name) is not None]
    if attention is None or attention_mask is not None or altered or not getattr(module, "is_causal", True):
        raise UnsupportedAttention(f"packed attention does not do {altered or 'this call'}")
    return attention.attend(id(module), query, key, value, scaling, sliding_window), None


def _packed_mask(*args: Any, local_size: int | None = None, **kwargs: Any) -> None:
    """No mask: pieces say who sees what. A local one is noted, since not every architecture passes its size on."""
    attention: PackedAttention | None = getattr(_active, "attention", None)
    if attention is not None:
        attention.note_mask(local_size)


AttentionInterface.register(IMPLEMENTATION, _packed_attention_forward)
AttentionMaskInterface.register(IMPLEMENTATION, _packed_mask)
