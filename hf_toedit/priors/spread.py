"""Windows shared out among threads of a CPU, each of which computes passes of its own.

Threads that divide each function of one pass between them wait for each other some hundred times a pass; threads that
work on passes of their own need not wait at all: a quarter sooner on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from hf_toedit.priors.packing import Window

_MOST_SHARES = 8
"""Python's lock, which each thread holds for some percents of its time, would keep more from working."""

_LEAST_TOKENS = 512
"""Of a share: matrix products of fewer rows run below a CPU's rate."""


def shares(windows: Sequence[Window], most: int) -> list[list[Window]]:
    """Share windows out, about as many tokens to each share, those of a share in their order.

    Args:
        windows: of any documents.
        most: how many shares there may be; there are fewer where a single window is more than its part.
    """
    sizes = [window.stop - window.start for window in windows]
    count = max(1, min(most, _MOST_SHARES, sum(sizes) // max(_LEAST_TOKENS, *sizes, 1)))
    if count == 1:
        return [list(windows)]
    members: list[list[int]] = [[] for _ in range(count)]
    filled = [0] * count
    for index in sorted(range(len(windows)), key=lambda index: -sizes[index]):
        least = filled.index(min(filled))
        members[least].append(index)
        filled[least] += sizes[index]
    return [[windows[index] for index in sorted(share)] for share in members]


def in_shares(work: Callable[[list[Window]], Any], given: list[list[Window]]) -> None:
    """Do the work of each share in a thread of its own, between which this thread's cores are divided.

    Raises:
        Exception: what the work of a share raises, after the others have ended.
    """
    if len(given) == 1:
        work(given[0])
        return
    num_threads = torch.get_num_threads()
    each = max(1, num_threads // len(given))
    try:
        with ThreadPoolExecutor(len(given), initializer=torch.set_num_threads, initargs=(each,)) as pool:
            list(pool.map(work, given))
    finally:
        torch.set_num_threads(num_threads)  # of this thread it has not changed, but of threads yet to be started
