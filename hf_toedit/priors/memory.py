"""How many tokens a forward pass may have on a GPU, and when memory has run out.

A pass needs memory for its activations, by its tokens, and for one chunk of logits, whatever they are. While a long
document goes on from pass to pass, the keys and values of what was read of the window so far are kept as well: at most
those of the prior's whole context, for one window a thread. Half of a thread's memory at most is set aside for them;
where a document still finds too little, passes are halved. Where memory is short, fewer threads are asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch

from hf_toedit.priors.packing import PIECE_TOKENS

logger = logging.getLogger(__name__)

MAX_TOKENS = 32_768
"""A pass of this many tokens keeps any GPU busy; more would only take memory."""

_ENOUGH = 4096
"""Passes of fewer tokens cost more than what several at once gain."""

_SIZES = (4096, 8192)
_SPARE = 0.1
"""Share left free for what the allocator cannot use, and for packs that need more than those measured."""


@dataclass(frozen=True)
class PassMemory:
    """What one forward pass took.

    Attributes:
        num_tokens: of the pass.
        num_bytes: most in use at once, less the weights.
    """

    num_tokens: int
    num_bytes: int


def fitting_passes(small: PassMemory, large: PassMemory, free: int, concurrency: int, kept: int) -> tuple[int, int]:
    """How many passes at once, and of how many tokens each, fit into memory together.

    Args:
        small: a pass measured.
        large: another, of more tokens.
        free: bytes for all passes together.
        concurrency: most that are of use at once; fewer where passes would be too small.
        kept: bytes of the keys and values of the longest window.

    Returns:
        The number of passes, and the tokens of one: a multiple of `PIECE_TOKENS`, at least that, at most `MAX_TOKENS`.
    """
    per_token = max((large.num_bytes - small.num_bytes) / (large.num_tokens - small.num_tokens), 1.0)
    fixed = max(large.num_bytes - per_token * large.num_tokens, 0.0)
    room = free * (1 - _SPARE) / concurrency
    room -= min(kept, room / 2)
    tokens = int(min(max(room - fixed, 0.0) / per_token, MAX_TOKENS)) // PIECE_TOKENS * PIECE_TOKENS
    if tokens < _ENOUGH and concurrency > 1:
        return fitting_passes(small, large, free, concurrency - 1, kept)
    return concurrency, max(tokens, PIECE_TOKENS)


def find_passes(
    run: Callable[[int, bool], int], device: torch.device, memory_fraction: float, concurrency: int, context: int
) -> tuple[int, int]:
    """Measure passes on a GPU, and choose their number and size; see `fitting_passes`.

    Args:
        run: does a pass of so many tokens, the windows of which go on or not, and returns the bytes that it keeps.
        device: a CUDA device, with the weights on it.
        memory_fraction: of its memory that may be used.
        concurrency: most passes that are of use at once.
        context: positions of the longest window.
    """
    torch.cuda.synchronize(device)
    weights = torch.cuda.memory_allocated(device)
    # What others use of the device is not free either.
    unused = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - weights
    total = torch.cuda.get_device_properties(device).total_memory
    free = min(int(total * memory_fraction) - weights, unused)
    passes, kept = [], 0
    try:
        for num_tokens in _SIZES:
            torch.cuda.reset_peak_memory_stats(device)
            run(num_tokens, False)
            torch.cuda.synchronize(device)
            passes.append(PassMemory(num_tokens, torch.cuda.max_memory_allocated(device) - weights))
        kept = run(_SIZES[0], True) * context // _SIZES[0]
    except Exception as error:
        if not out_of_memory(error):
            raise
    torch.cuda.empty_cache()
    if len(passes) < len(_SIZES):
        logger.warning("passes of %d tokens do not fit into memory; they are kept to %d.", _SIZES[-1], PIECE_TOKENS)
        return 1, PIECE_TOKENS
    chosen = fitting_passes(passes[0], passes[1], free, concurrency, kept)
    logger.info("%d forward passes at once, of %d tokens each: %s, %d bytes free.", *chosen, passes, free)
    return chosen


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN, which has no memory for the code that it generates
    "could not create a memory object",
    "could not execute a primitive",
)
"""What an error of another type says where memory ran out."""


def out_of_memory(error: Exception) -> bool:
    """Whether an error means that more memory was asked for than there is; not all libraries have a type for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    )
