"""Causal attention in blocks of queries with plain matrix products, the fastest method in float32 on a CPU.

Each block sees only the keys up to its last query, so that little is computed in vain, and a block of scores stays in
the cache. PyTorch's own attention computes more of the scores that the causal mask hides, and its products, as those of
`torch.bmm`, are MKL's, which on an AMD processor with AVX-512 run at half the rate of oneDNN's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from hf_toedit.priors.linear import fast_linear

_FEW_SCORES = 2**17
"""Scores of a head up to which all heads are computed at once: oneDNN's calls would take longer than they spare."""

_SMALL_BLOCK = 64
"""Number of queries of a block if all heads are computed at once."""

_MULTIPLE = 32
"""Other pieces are padded to a multiple of this, since oneDNN compiles a function for each shape, in up to 0.5 ms."""

_MAX_BLOCK = 256
"""Maximum number of queries of a block: half of the scores among these are hidden, and computed in vain."""

_ROWS = 512
"""Rows of a product, queries by heads of a group, beyond which it does not become faster."""

_MAX_SCORES = 2**22
"""Maximum number of scores of a block, beyond which their memory would not be kept when freed (`allocator`)."""


def blocked_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, sliding_window: int | None
) -> torch.Tensor:
    """Compute causal attention of the last `n` of `m` positions.

    Args:
        query: float32 `[1, heads, n, d]`.
        key: `[1, kv_heads, m, d]`.
        value: `[1, kv_heads, m, d_v]`.
        scaling: Factor on the products; None is d ** -0.5.
        sliding_window: Maximum number of keys that each query sees; None is all.

    Returns:
        `[1, n, heads, d_v]`.
    """
    (num_heads, num_queries, size), (kv_heads, num_keys) = query.shape[1:], key.shape[1:3]
    group = num_heads // kv_heads
    few = group * num_queries * num_keys <= _FEW_SCORES
    together, multiply = (kv_heads, _multiply_heads) if few else (1, _multiply_head)
    earlier = num_keys - num_queries
    padded = num_queries if few else num_queries + -num_queries % _MULTIPLE
    block_size = _SMALL_BLOCK if few else _block_size(padded, group, earlier + padded)
    # Copies, so that results do not depend on the position of a piece in a pack. Padding comes last, where no query of
    # the piece sees its keys.
    queries = _copy(query[0], padded).mul_(size**-0.5 if scaling is None else scaling).unflatten(0, (kv_heads, group))
    keys, values = _copy(key[0], earlier + padded), _copy(value[0], earlier + padded)
    output = query.new_empty(num_queries, kv_heads, group, value.shape[3])
    hidden = query.new_full((block_size, block_size), -torch.inf).triu(1)
    with _one_thread() if few else nullcontext():
        for head in range(0, kv_heads, together):
            heads = slice(head, head + together)
            for first in range(0, padded, block_size):
                block = slice(first, min(first + block_size, padded))
                count, stop = block.stop - first, earlier + block.stop
                start = max(0, stop - count - sliding_window + 1) if sliding_window else 0
                scores = multiply(queries[heads, :, block].flatten(1, 2), keys[heads, start:stop])
                _hide(scores.unflatten(1, (group, count)), hidden, sliding_window)
                torch.softmax(scores, dim=2, out=scores)
                answer = multiply(scores, values[heads, start:stop].mT).unflatten(1, (group, count))
                rows = output[block, heads]
                rows.copy_(answer[:, :, : len(rows)].movedim(2, 0))
    return output.flatten(1, 2)[None]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use a single thread: MKL rounds small products differently with several."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _multiply_heads(some: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Multiply `[heads, n, d]` by the transpose of `[heads, m, d]`; returns `[heads, n, m]`."""
    return torch.bmm(some, other.mT)


def _multiply_head(some: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Do the same with one head, with oneDNN."""
    return fast_linear(some[0], other[0])[None]


def _copy(states: torch.Tensor, length: int) -> torch.Tensor:
    """Return a copy of `[heads, m, d]` with zeros after the last position up to the given length."""
    num_given = states.shape[1]
    if length == num_given:
        return states.clone(memory_format=torch.contiguous_format)
    copy = states.new_empty(len(states), length, states.shape[2])
    copy[:, :num_given], copy[:, num_given:] = states, 0
    return copy


def _block_size(num_queries: int, group: int, num_keys: int) -> int:
    """Return the number of queries of a block, a multiple of `_MULTIPLE`: about as many in each block."""
    rows = min(_ROWS, _MAX_SCORES // num_keys)
    most = max(min(rows // group, _MAX_BLOCK) // _MULTIPLE, 1)
    units = num_queries // _MULTIPLE
    return -(-units // -(-units // most)) * _MULTIPLE


def _hide(scores: torch.Tensor, hidden: torch.Tensor, sliding_window: int | None) -> None:
    """Mask the keys that a query must not see, in place.

    Args:
        scores: `[heads, group, n, m]`, with the last query at the last key.
        hidden: `[block, block]`, -inf above the diagonal.
        sliding_window: Maximum number of keys that each query sees; None is all.
    """
    num_queries, num_keys = scores.shape[2:]
    scores[..., num_keys - num_queries :] += hidden[:num_queries, :num_queries]
    if sliding_window:
        # The first query sees the window's keys up to its own position; each further one sees one key less at this end.
        unseen = num_keys - num_queries + 1 - sliding_window
        width = min(num_queries + unseen, num_keys)
        if width > 0:
            scores[..., :width] += scores.new_full((num_queries, width), -torch.inf).tril(unseen - 1)
