"""Number of tokens per forward pass on a GPU, and detection of out-of-memory errors.

A pass has two stages: the body, whose activations grow with its tokens, and the head, which needs memory for one chunk
of logits, whatever the number of tokens, plus the hidden states. The peak of a pass is the larger of the two, so each
stage is measured separately. While a long document continues from pass to pass, the keys and values of the window read
so far are kept as well: at most those of the prior's whole context, for one window per thread. At most half of a
thread's memory is reserved for them; if that is too little for a document, passes are halved. If memory is short,
fewer threads are used first, then smaller chunks of logits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hf_toedit.priors.packing import PIECE_TOKENS

logger = logging.getLogger(__name__)

MAX_TOKENS = 32_768
"""A pass of this many tokens keeps any GPU busy; a larger one would only use more memory."""

ENOUGH = 4096
"""Below this many tokens, a pass costs more than several concurrent ones, or larger chunks of logits, gain."""

_SIZES = ((4096, 8192), (1024, 2048))
"""Tokens of the two passes that are measured; the smaller sizes are used if the larger ones do not fit."""
_SPARE = 0.1
"""Share left free for memory that the allocator cannot use, and for packs that need more than those measured."""


@dataclass(frozen=True)
class StageMemory:
    """Memory of one stage in two forward passes: peak usage without the weights.

    Attributes:
        small: Tokens of a pass, and bytes.
        large: Tokens and bytes of another pass with more tokens.
    """

    small: tuple[int, int]
    large: tuple[int, int]

    @property
    def per_token(self) -> float:
        """Bytes per additional token; 1 or more."""
        (few, some), (many, more) = self.small, self.large
        return max((more - some) / (many - few), 1.0)

    def num_tokens(self, room: float) -> int:
        """Return the tokens of the largest pass that needs at most `room` bytes."""
        tokens, num_bytes = self.large
        fixed = max(num_bytes - self.per_token * tokens, 0.0)
        return int(max(room - fixed, 0.0) / self.per_token)


def fitting_passes(stages: Sequence[StageMemory], free: int, concurrency: int, kept: int) -> tuple[int, int]:
    """Return how many concurrent passes, and of how many tokens each, fit into memory.

    Args:
        stages: Memory of each stage of a pass.
        free: Bytes for all passes together.
        concurrency: Maximum useful number of concurrent passes; fewer are chosen if passes would be too small.
        kept: Bytes of the keys and values of the longest window.

    Returns:
        The number of passes, and the tokens per pass: a multiple of `PIECE_TOKENS`, at least that, at most
        `MAX_TOKENS`.
    """
    room = free * (1 - _SPARE) / concurrency
    room -= min(kept, room / 2)
    tokens = min(MAX_TOKENS, *(stage.num_tokens(room) for stage in stages)) // PIECE_TOKENS * PIECE_TOKENS
    if tokens < ENOUGH and concurrency > 1:
        return fitting_passes(stages, free, concurrency - 1, kept)
    return concurrency, max(tokens, PIECE_TOKENS)


Pass = Callable[[int, bool, Callable[[], None]], int]
"""Runs a pass with a number of tokens, whose windows continue or not; calls a function at the end of each stage, and
returns the bytes that it keeps."""


def find_passes(
    run: Pass, device: torch.device, memory_fraction: float, concurrency: int, context: int
) -> tuple[int, int]:
    """Measure passes on a GPU, and choose their number and size; see `fitting_passes`.

    Args:
        run: Runs a pass.
        device: A CUDA device, with the weights on it.
        memory_fraction: Share of its memory that may be used.
        concurrency: Maximum useful number of concurrent passes.
        context: Positions of the longest window.
    """
    torch.cuda.synchronize(device)
    weights = torch.cuda.memory_allocated(device)
    # Memory that other processes use on the device is not free either.
    unused = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - weights
    total = torch.cuda.get_device_properties(device).total_memory
    free = min(int(total * memory_fraction) - weights, unused)
    for few, many in _SIZES:
        try:
            measured = zip(_measured(run, few, device, weights), _measured(run, many, device, weights), strict=True)
            stages = [StageMemory((few, some), (many, more)) for some, more in measured]
            kept = run(few, True, lambda: None) * context // few
        except Exception as error:
            if not out_of_memory(error):
                raise
            torch.cuda.empty_cache()
            continue
        torch.cuda.empty_cache()
        chosen = fitting_passes(stages, free, concurrency, kept)
        logger.info("%d forward passes at once, of %d tokens each: %s, %d bytes free.", *chosen, stages, free)
        return chosen
    logger.warning("passes of %d tokens do not fit into memory; they are kept to %d.", _SIZES[-1][-1], PIECE_TOKENS)
    return 1, PIECE_TOKENS


def _measured(run: Pass, num_tokens: int, device: torch.device, weights: int) -> list[int]:
    """Return the peak bytes of each stage of a pass, without the weights."""
    peaks: list[int] = []

    def mark() -> None:
        torch.cuda.synchronize(device)
        peaks.append(torch.cuda.max_memory_allocated(device) - weights)
        torch.cuda.reset_peak_memory_stats(device)

    torch.cuda.reset_peak_memory_stats(device)
    run(num_tokens, False, mark)
    return peaks


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",  # of what does not allocate through PyTorch, such as the loading of a kernel
    "CUDA driver error: out of memory",  # of expandable segments
    "could not create a primitive",  # oneDNN, without memory for its generated code
    "could not create a memory object",
    "could not execute a primitive",
)
"""Messages of errors of other types when memory ran out."""


def out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out; not all libraries have a type for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)
    )
