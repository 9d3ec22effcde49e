"""Causal attention in blocks of queries with plain matrix products, the fastest method in float32 on a CPU.

Each block sees only the keys up to its last query, so that almost nothing is computed in vain, and a block of scores
stays in the cache. PyTorch's own attention computes more of the scores that the causal mask hides.
"""

from __future__ import annotations

import threading
from math import prod

import torch

_own = threading.local()

_BLOCK = 64
_MAX_SCORES = 2**22
"""Maximum number of scores of a block, over all heads that are computed together."""


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
    (heads, num_queries, size), (kv_heads, num_keys) = query.shape[1:], key.shape[1:3]
    group = heads // kv_heads
    # Copies, so that results do not depend on the position of a piece in a pack.
    queries = query.new_empty(kv_heads, group, num_queries, size)
    torch.mul(query[0].unflatten(0, (kv_heads, group)), size**-0.5 if scaling is None else scaling, out=queries)
    keys, values = (each[0].clone(memory_format=torch.contiguous_format) for each in (key, value))
    keys = keys.transpose(1, 2)
    output = query.new_empty(1, num_queries, heads, value.shape[3])
    together = max(1, _MAX_SCORES // (group * _BLOCK * num_keys))
    hidden = query.new_full((_BLOCK, _BLOCK), -torch.inf).triu(1)
    memory = _memory(min(together, kv_heads) * group * min(_BLOCK, num_queries) * num_keys)
    for head in range(0, kv_heads, together):
        some = slice(head, head + together)
        for first in range(0, num_queries, _BLOCK):
            block = slice(first, min(first + _BLOCK, num_queries))
            stop = num_keys - num_queries + block.stop
            start = max(0, stop - (block.stop - first) - sliding_window + 1) if sliding_window else 0
            shape = (len(keys[some]), group * (block.stop - first), stop - start)
            scores = torch.bmm(
                queries[some, :, block].flatten(1, 2), keys[some, :, start:stop], out=memory[: prod(shape)].view(shape)
            )
            _hide(scores.unflatten(1, (group, -1)), hidden, sliding_window)
            torch.softmax(scores, dim=2, out=scores)
            answer = torch.bmm(scores, values[some, start:stop]).unflatten(1, (group, -1)).flatten(0, 1)
            output[0, block, head * group : (head + together) * group] = answer.transpose(0, 1)
    return output


def _hide(scores: torch.Tensor, hidden: torch.Tensor, sliding_window: int | None) -> None:
    """Mask the keys that a query must not see, in place.

    Args:
        scores: `[kv_heads, group, n, m]`, with the last query at the last key.
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


def _memory(num_scores: int) -> torch.Tensor:
    """Return a buffer for a block of scores, reused by the thread's next call; fresh pages would cost much time."""
    memory = getattr(_own, "memory", None)
    if memory is None or len(memory) < num_scores:
        # A tensor created in inference mode could not be written to outside of it.
        with torch.inference_mode(False):
            memory = _own.memory = torch.empty(num_scores, dtype=torch.float, device="cpu")
    return memory
