"""How many tokens a forward pass may have on a GPU, and when memory has run out.

A pass has two stages: the body, whose activations grow with its tokens, and the head, which needs memory for one chunk
of logits, whatever the tokens are, beside the hidden states. The peak of a pass is the larger of the two, so that each
stage is measured by itself. While a long document goes on from pass to pass, the keys and values of what was read of
the window so far are kept as well: at most those of the prior's whole context, for one window a thread. Half of a
thread's memory at most is set aside for them; where a document still finds too little, passes are halved. Where memory
is short, fewer threads are asked for, then smaller chunks of logits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hf_toedit.priors.packing import PIECE_TOKENS

logger = logging.getLogger(__name__)

MAX_TOKENS = 32_768
"""A pass of this many tokens keeps any GPU busy; more would only take memory."""

ENOUGH = 4096
"""Passes of fewer tokens cost more than what several at once, or larger chunks of logits, gain."""

_SIZES = ((4096, 8192), (1024, 2048))
"""Tokens of the two passes that are measured; the smaller ones where the larger ones do not fit."""
_SPARE = 0.1
"""Share left free for what the allocator cannot use, and for packs that need more than those measured."""


@dataclass(frozen=True)
class StageMemory:
    """What one stage of two forward passes took: most in use at once, less the weights.

    Attributes:
        small: Tokens of a pass, and bytes.
        large: The same of another, of more tokens.
    """

    small: tuple[int, int]
    large: tuple[int, int]

    @property
    def per_token(self) -> float:
        """Bytes for each further token; 1 or more."""
        (few, some), (many, more) = self.small, self.large
        return max((more - some) / (many - few), 1.0)

    def num_tokens(self, room: float) -> int:
        """Tokens of the largest pass that needs no more than `room` bytes."""
        tokens, num_bytes = self.large
        fixed = max(num_bytes - self.per_token * tokens, 0.0)
        return int(max(room - fixed, 0.0) / self.per_token)


def fitting_passes(stages: Sequence[StageMemory], free: int, concurrency: int, kept: int) -> tuple[int, int]:
    """How many passes at once, and of how many tokens each, fit into memory together.

    Args:
        stages: What each stage of a pass takes.
        free: Bytes for all passes together.
        concurrency: Most passes that are of use at once; fewer where passes would be too small.
        kept: Bytes of the keys and values of the longest window.

    Returns:
        The number of passes, and the tokens of one: a multiple of `PIECE_TOKENS`, at least that, at most `MAX_TOKENS`.
    """
    room = free * (1 - _SPARE) / concurrency
    room -= min(kept, room / 2)
    tokens = min(MAX_TOKENS, *(stage.num_tokens(room) for stage in stages)) // PIECE_TOKENS * PIECE_TOKENS
    if tokens < ENOUGH and concurrency > 1:
        return fitting_passes(stages, free, concurrency - 1, kept)
    return concurrency, max(tokens, PIECE_TOKENS)


Pass = Callable[[int, bool, Callable[[], None]], int]
"""Does a pass of so many tokens, the windows of which go on or not; calls a function at the end of each stage, and
returns the bytes that it keeps."""


def find_passes(
    run: Pass, device: torch.device, memory_fraction: float, concurrency: int, context: int
) -> tuple[int, int]:
    """Measure passes on a GPU, and choose their number and size; see `fitting_passes`.

    Args:
        run: Does a pass.
        device: A CUDA device, with the weights on it.
        memory_fraction: Share of its memory that may be used.
        concurrency: Most passes that are of use at once.
        context: Positions of the longest window.
    """
    torch.cuda.synchronize(device)
    weights = torch.cuda.memory_allocated(device)
    # What others use of the device is not free either.
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
    """Bytes that each stage of a pass takes at most, less the weights."""
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
