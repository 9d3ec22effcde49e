"""The processes and threads in which `datasets` calls what it is given: whose turn it is, and which GPU is whose."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
from dataclasses import replace

import multiprocess

from hf_toedit.config import PriorConfig
from hf_toedit.engines.local import visible_gpus

_lock = threading.RLock()


def turn() -> threading.RLock:
    """Held while rows are edited and while a prior is loaded.

    `IterableDataset.shuffle` and `interleave_datasets` iterate in several threads. Two of them gain nothing from one
    model, and neither loading one nor reading rows bears the other.
    """
    return _lock


def _renew() -> None:
    """A process that is forked while a thread holds the lock has no such thread to release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def rank() -> int:
    """Which process this is of several, of a pool of `datasets` or of a `DataLoader`."""
    names = [library.current_process().name for library in (multiprocess, multiprocessing) if library.parent_process()]
    number = re.search(r"\d+$", names[0]) if names else None
    return int(number[0]) - 1 if number else 0


def for_rank(config: PriorConfig, rank: int | None) -> PriorConfig:
    """Settings of a prior for one of several processes: its own GPU, or one CPU thread.

    Args:
        config: settings for all of them.
        rank: of the process; None where there is but one.
    """
    if rank is None:
        return config
    if config.backend == "vllm" and (gpus := visible_gpus()):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[rank % len(gpus)]  # vLLM takes the first that it sees
        return config
    import torch

    if config.device == "auto" and torch.cuda.is_available():
        return replace(config, device=f"cuda:{rank % torch.cuda.device_count()}")
    # A forked process must not wait for the OpenMP threads that its parent had; N processes want a core each anyway.
    torch.set_num_threads(1)
    return config
