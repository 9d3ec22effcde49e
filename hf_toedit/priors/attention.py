"""Attention over a pack: each document attends only to itself, and long ones continue on kept keys and values.

`register` adds it to the attention implementations of `transformers`, so that any architecture that uses that interface
runs in packs, without padding and without a dense block mask.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from hf_toedit.priors.blocked import blocked_attention
from hf_toedit.priors.packing import Piece, Window, joined
from hf_toedit.priors.varlen import Lengths, Varlen, causal_mask, fits

IMPLEMENTATION = "toedit_packed"

_active = threading.local()


class UnsupportedAttention(NotImplementedError):
    """An architecture requires a feature that packed attention does not have."""


class PackedAttention:
    """The pieces of the current pack, and the keys and values of windows that continue in a later one.

    The keys and values of all positions that a window has read so far are kept, in all layers; a pack ends inside one
    window at most.
    """

    def __init__(self, varlen: Varlen | None = None) -> None:
        """Create attention without kept keys and values.

        Args:
            varlen: Function that attends over all pieces at once; None processes them one by one.
        """
        self._varlen = varlen
        self._pack: list[Piece] = []
        # The first layer that needs these creates them, for all layers of a pack.
        self._lengths: Lengths | None = None
        self._masks: dict[tuple[int, int, int | None], torch.Tensor] = {}
        self._kept: dict[tuple[Window, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self._local_masks: set[int] = set()
        self._windows: set[int | None] = set()
        self._called: set[int] = set()

    @property
    def kept_bytes(self) -> int:
        """Size of the kept keys and values in bytes."""
        return sum(tensor.nbytes for pair in self._kept.values() for tensor in pair)

    def covers(self, context: int) -> bool:
        """Whether every local attention, shorter than the context, for which a mask was requested reached `attend`."""
        return all(size in self._windows for size in self._local_masks if 0 < size < context)

    def note_mask(self, local_size: int | None) -> None:
        """Record that the architecture requests a mask: causal if `local_size` is None, else a window or chunks."""
        if local_size is not None:
            self._local_masks.add(local_size)

    @contextmanager
    def running(self, pack: list[Piece]) -> Iterator[None]:
        """Make the attention calls of this thread work on `pack`."""
        self._pack = pack if self._varlen is None else joined(pack)
        self._lengths = None
        self._masks.clear()
        self._called.clear()
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
        """Compute causal attention within each piece, and to the kept keys and values of its window.

        Args:
            layer: Identifies the layer.
            query: `[1, heads, T, d]`, after rotary embedding; positions after the last piece are padding.
            key: `[1, kv_heads, T, d]`.
            value: `[1, kv_heads, T, d_v]`.
            scaling: Factor on the products; None is d ** -0.5.
            sliding_window: Maximum number of keys that each query sees; None is all.

        Returns:
            `[1, T, heads, d_v]`, zero on padding.

        Raises:
            UnsupportedAttention: The layer attends twice in one pass, so its kept keys would be those of another call.
        """
        if layer in self._called:
            raise UnsupportedAttention("a layer attends twice in one pass")
        self._called.add(layer)
        self._windows.add(sliding_window)
        if self._varlen is not None and fits(query, value):
            keys, values = self._all_with_kept(layer, key, value)
            length = sum(map(len, self._pack))
            queries, keys, values = (tensor[0].transpose(0, 1) for tensor in (query[:, :, :length], keys, values))
            lengths = self._lengths_on(query.device)
            answer = self._varlen(queries, keys, values, lengths, scaling, sliding_window)
            padding = query.shape[2] - length
            return (pad(answer, (0, 0, 0, 0, 0, padding)) if padding else answer)[None]
        output = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])
        for piece, rows in self._rows():
            keys, values = self._with_kept(layer, piece, key[:, :, rows], value[:, :, rows])
            output[:, rows] = self._attend_piece(query[:, :, rows], keys, values, scaling, sliding_window)
        return output

    def _attend_piece(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        sliding_window: int | None,
    ) -> torch.Tensor:
        """Compute the attention of one piece with the fastest available method; see `blocked_attention`."""
        if query.device.type == "cpu" and query.dtype == torch.float32:
            return blocked_attention(query, key, value, scaling, sliding_window)
        num_queries = query.shape[2]
        mask = self._mask(num_queries, key.shape[2], sliding_window, query)
        attended = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=mask is None and num_queries > 1,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        return attended.transpose(1, 2)

    def _rows(self) -> Iterator[tuple[Piece, slice]]:
        """Yield each piece and its position in the pack."""
        start = 0
        for piece in self._pack:
            yield piece, slice(start, start + len(piece))
            start += len(piece)

    def _with_kept(
        self, layer: int, piece: Piece, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kept = self._kept.pop((piece.window, layer), None)
        if kept is not None:
            key, value = torch.cat([kept[0], key], dim=2), torch.cat([kept[1], value], dim=2)
        if not piece.last:
            # A view would keep the keys of the whole pack in memory.
            key, value = (key.clone(), value.clone()) if kept is None else (key, value)
            self._kept[piece.window, layer] = (key, value)
        return key, value

    def _all_with_kept(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values of all pieces, one after another; padding may follow."""
        pairs = [self._with_kept(layer, piece, key[:, :, rows], value[:, :, rows]) for piece, rows in self._rows()]
        if not any(piece.start for piece in self._pack):
            return key, value
        keys, values = zip(*pairs, strict=True)
        return torch.cat(keys, dim=2), torch.cat(values, dim=2)

    def _lengths_on(self, device: torch.device) -> Lengths:
        if self._lengths is None:
            self._lengths = Lengths.of([(len(piece), piece.stop) for piece in self._pack], device)
        return self._lengths

    def _mask(
        self, num_queries: int, num_keys: int, sliding_window: int | None, like: torch.Tensor
    ) -> torch.Tensor | None:
        """Return `causal_mask`, or None if it is plain causal attention."""
        if sliding_window is not None and sliding_window >= num_keys:
            sliding_window = None
        if num_queries == num_keys and sliding_window is None:
            return None
        shape = (num_queries, num_keys, sliding_window)
        if shape not in self._masks:
            self._masks[shape] = causal_mask(*shape, like)
        return self._masks[shape]


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Entry point for `transformers`; refuses options that would silently change the result."""
    attention: PackedAttention | None = getattr(_active, "attention", None)
    altered = [name for name in ("softcap", "s_aux", "position_bias", "head_mask") if kwargs.get(name) is not None]
    if attention is None or attention_mask is not None or altered or not getattr(module, "is_causal", True):
        raise UnsupportedAttention(f"packed attention does not do {altered or 'this call'}")
    return attention.attend(id(module), query, key, value, scaling, sliding_window), None


def _packed_mask(*args: Any, local_size: int | None = None, **kwargs: Any) -> None:
    """Return no mask, since pieces define visibility. Records a local one: not all architectures pass its size."""
    attention: PackedAttention | None = getattr(_active, "attention", None)
    if attention is not None:
        attention.note_mask(local_size)


@cache
def register() -> None:
    """Register packed attention with `transformers`, which is not imported for models outside of it."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(IMPLEMENTATION, packed_attention)
    AttentionMaskInterface.register(IMPLEMENTATION, _packed_mask)
