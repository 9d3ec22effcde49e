"""Processes and threads in which `datasets` calls this package: mutual exclusion, and assignment of GPUs."""

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
    """Return the lock that is held while rows are edited and while a prior is loaded.

    `IterableDataset.shuffle` and `interleave_datasets` iterate in several threads. Two threads gain nothing from one
    model, and neither loading a prior nor reading rows is thread-safe.
    """
    return _lock


def _renew() -> None:
    """Renew the lock in a forked process: a thread that held it does not exist there to release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def rank() -> int:
    """Return the rank of this process in a pool of `datasets` or a `DataLoader`."""
    names = [library.current_process().name for library in (multiprocess, multiprocessing) if library.parent_process()]
    number = re.search(r"\d+$", names[0]) if names else None
    return int(number[0]) - 1 if number else 0


def for_rank(config: PriorConfig, rank: int | None) -> PriorConfig:
    """Return the settings of a prior for one of several processes: its own GPU, or one CPU thread.

    Args:
        config: Settings for all processes.
        rank: Rank of the process; None if there is only one.
    """
    if rank is None:
        return config
    if config.backend == "vllm" and (gpus := visible_gpus()):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[rank % len(gpus)]  # vLLM uses the first visible GPU
        return config
    import torch

    if config.device == "auto" and torch.cuda.is_available():
        return replace(config, device=f"cuda:{rank % torch.cuda.device_count()}")
    # A forked process must not wait for the OpenMP threads of its parent; N processes should use one core each anyway.
    torch.set_num_threads(1)
    return config
