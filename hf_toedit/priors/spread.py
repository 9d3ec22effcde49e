"""Windows distributed among CPU threads, each of which computes its own passes.

Threads that share each function of one pass wait for each other some hundred times per pass. Threads with their own
passes do not wait at all, which saves a quarter of the time on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from hf_toedit.priors.packing import Window

_Given = TypeVar("_Given")
_Answer = TypeVar("_Answer")

_MOST_SHARES = 8
"""Maximum number of shares: each thread holds Python's lock for some percent of its time, so more would not help."""

_LEAST_TOKENS = 512
"""Minimum tokens of a share: matrix products of fewer rows do not reach a CPU's full rate."""


def shares(windows: Sequence[Window], most: int, hidden_size: int) -> list[list[Window]]:
    """Distribute windows, about as much work to each share, in their order within a share.

    Args:
        windows: Windows of any documents.
        most: Maximum number of shares; there are fewer if a single window is larger than its part.
        hidden_size: Size of the model's hidden states; the smaller, the more of a long window's work is attention.
    """
    costs = [_cost(window.stop - window.start, hidden_size) for window in windows]
    count = max(1, min(most, _MOST_SHARES, int(sum(costs) / max(_LEAST_TOKENS, *costs, 1))))
    if count == 1:
        return [list(windows)]
    members: list[list[int]] = [[] for _ in range(count)]
    filled = [0.0] * count
    for index in sorted(range(len(windows)), key=lambda index: -costs[index]):
        least = filled.index(min(filled))
        members[least].append(index)
        filled[least] += costs[index]
    return [[windows[index] for index in sorted(share)] for share in members]


def _cost(length: int, hidden_size: int) -> float:
    """Return the work of a window, in tokens without attention.

    A layer of a transformer takes about `12 * hidden_size ** 2` products for a token and `2 * hidden_size` for each
    earlier token that it attends to, of which there are `length / 2` on average. With SmolLM2-135M and documents of 512
    to 8,000 tokens, the factor was measured as 12, too.
    """
    return length * (1 + length / (12 * hidden_size))


def in_shares(work: Callable[[list[Window]], Any], given: list[list[Window]]) -> None:
    """Process each share in its own thread, dividing this thread's cores between them.

    Raises:
        Exception: An error from the work of a share, raised after the others have ended.
    """
    if len(given) == 1:
        work(given[0])
        return
    in_threads(work, given, len(given), max(1, torch.get_num_threads() // len(given)))


def in_threads(work: Callable[[_Given], _Answer], given: Sequence[_Given], count: int, cores: int = 1) -> list[_Answer]:
    """Process items in so many threads, each on so many cores, and return the answers in their order.

    On one core, results of a pass in float32 do not depend on the number of cores.
    """
    num_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(cores,)) as pool:
            return list(pool.map(work, given))
    finally:
        torch.set_num_threads(num_threads)  # unchanged in this thread, but the default of threads yet to be started
