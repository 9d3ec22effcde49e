"""FlashAttention over all pieces of a pack in one call, if this machine supports it.

PyTorch has it as an operator, whose arguments are the same in every supported version; those of the functions around it
are not. The package `flash-attn` is used if the operator does not work. Both are for CUDA, bfloat16 and float16.
Kernels that the package `kernels` would download from the Hub are not used: they are code that the user did not request
by name, and not pinned to a commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from hf_toedit.errors import in_one_line
from hf_toedit.priors.transfer import to_device

logger = logging.getLogger(__name__)

_MAX_HEAD_DIM = 256
_PROBE = ((5, 5), (130, 130), (33, 300), (1, 70))
"""Number of queries and keys of each piece: two that start a window, two that continue one."""


@dataclass(frozen=True)
class Lengths:
    """Number of queries and keys of each of `n` pieces.

    Attributes:
        queries: int32 `[n + 1]` on the device, cumulative number of queries before each piece.
        keys: The same for the keys; the last query of a piece is at its last key.
        max_queries: Queries of the longest piece.
        max_keys: Keys of the longest piece.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    max_queries: int
    max_keys: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]], device: torch.device) -> Lengths:
        """Create lengths from (queries, keys) of each piece."""
        queries, keys = zip(*pairs, strict=True)
        query_sums, key_sums = (np.array([0, *accumulate(each)], dtype=np.int32) for each in (queries, keys))
        return cls(to_device(query_sums, device), to_device(key_sums, device), max(queries), max(keys))


Varlen = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, Lengths, "float | None", "int | None"],
    torch.Tensor,
]
"""Causal attention of query `[Q, heads, d]` over key and value `[K, kv_heads, d]`, each the pieces one after another:
`(query, key, value, lengths, scaling, sliding_window)` to `[Q, heads, d]`, as in `PackedAttention.attend`."""


def find_varlen(device: torch.device, dtype: torch.dtype) -> Varlen | None:
    """Return the first implementation that runs on this machine and gives correct results; None if there is none.

    If a GPU should support one and does not, a warning explains the cost and what to install.
    """
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return None
    reasons = []
    for function, name in _IMPLEMENTATIONS:
        try:
            if agrees(function, device, dtype):
                return function
            reasons.append(f"{name} does not align queries and keys as it should")
        except Exception as error:  # another version or an older card may raise anything
            reasons.append(f"{name} does not run here ({in_one_line(error)})")
    logger.warning(
        "FlashAttention for documents of several lengths is not available: %s. Each document is attended to alone, "
        "which is slower. Use a GPU of compute capability 8.0 or more, and update torch or install flash-attn.",
        "; ".join(reasons),
    )
    return None


def fits(query: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether FlashAttention supports the size of the heads."""
    size = query.shape[-1]
    return size == value.shape[-1] and size <= _MAX_HEAD_DIM and size % 8 == 0


@torch.inference_mode()
def agrees(function: Varlen, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a function matches plain attention: pieces, grouped heads, scaling, with a window and without."""
    generator = torch.Generator().manual_seed(0)
    num_queries, num_keys = (sum(each) for each in zip(*_PROBE, strict=True))
    shapes = ((num_queries, 4, 64), (num_keys, 2, 64), (num_keys, 2, 64))
    query, key, value = (torch.randn(*shape, generator=generator).to(device, dtype) for shape in shapes)
    lengths = Lengths.of(_PROBE, device)
    for sliding_window in (None, 20):
        answer = function(query, key, value, lengths, 0.2, sliding_window).float()
        expected = reference(query.float(), key.float(), value.float(), lengths, 0.2, sliding_window)
        if not bool((answer - expected).abs().max() <= (1e-4 if dtype == torch.float32 else 3e-2)):
            return False
    return True


def reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: Lengths,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """Compute the expected result of a `Varlen`, piece by piece, with plain attention."""
    query_ends, key_ends = lengths.queries.tolist(), lengths.keys.tolist()
    answers = []
    for index in range(len(query_ends) - 1):
        queries, keys = (slice(*ends[index : index + 2]) for ends in (query_ends, key_ends))
        mask = causal_mask(queries.stop - queries.start, keys.stop - keys.start, sliding_window, query)
        q, k, v = (tensor.transpose(0, 1)[None] for tensor in (query[queries], key[keys], value[keys]))
        answer = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling, enable_gqa=True)
        answers.append(answer[0].transpose(0, 1))
    return torch.cat(answers)


def causal_mask(num_queries: int, num_keys: int, sliding_window: int | None, like: torch.Tensor) -> torch.Tensor:
    """Return the mask to add to the products: `[num_queries, num_keys]`, 0 if a query sees a key, else -inf.

    It has the dtype and device of `like`; the last query is at the last key.
    """
    past = num_keys - num_queries
    seen = torch.ones(num_queries, num_keys, dtype=torch.bool, device=like.device).tril(past)
    if sliding_window is not None:
        seen = seen.triu(past - sliding_window + 1)
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill_(~seen, -torch.inf)


def _of_torch(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: Lengths,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    before, after = _window(sliding_window)
    answer: torch.Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        lengths.queries,
        lengths.keys,
        lengths.max_queries,
        lengths.max_keys,
        0.0,  # no dropout
        True,  # causal
        False,  # no mask for debugging
        scale=scaling,
        window_size_left=before,
        window_size_right=after,
    )[0]
    return answer


def _of_flash_attn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: Lengths,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    from flash_attn import flash_attn_varlen_func

    return flash_attn_varlen_func(
        query,
        key,
        value,
        lengths.queries,
        lengths.keys,
        lengths.max_queries,
        lengths.max_keys,
        softmax_scale=scaling,
        causal=True,
        window_size=_window(sliding_window),
    )


def _window(sliding_window: int | None) -> tuple[int, int]:
    """Return how many keys before and after its own a query sees, as FlashAttention counts; -1 is all."""
    return (-1 if sliding_window is None else sliding_window - 1, 0)


_IMPLEMENTATIONS: tuple[tuple[Varlen, str], ...] = ((_of_torch, "that of PyTorch"), (_of_flash_attn, "flash-attn"))
"""Implementations in order of preference, with their names in messages."""
