"""Reuse of memory that a forward pass frees, on a CPU and on a GPU.

On a CPU, fresh pages cost up to a sixth of a small model's time: glibc returns large blocks to the system when they are
freed, and the system clears each page that is requested again.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameter numbers of glibc's `mallopt` (malloc.h)."""

KEPT_BYTES = 2**29
LARGEST_KEPT_BYTES = 2**26


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process, if it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def keep_freed_memory() -> None:
    """Make this process keep 512 MB of the memory that it frees, in blocks of up to 64 MB.

    Nothing changes if the allocator is not glibc's, or if the environment configures glibc.
    """
    glibc = _glibc()
    if glibc is None or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    glibc.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
    glibc.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def return_freed_memory() -> None:
    """Return the memory that this process has freed to the system, if the allocator is glibc's."""
    if glibc := _glibc():
        glibc.malloc_trim(0)


_SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Variables with torch's settings for GPU memory; versions before 2.9 read the second one."""


def use_expandable_segments() -> None:
    """Make torch use expandable segments of GPU memory, so that passes of many sizes do not fragment it.

    Call this before torch allocates on a GPU. Settings in the environment take precedence.
    """
    if not any(name in os.environ for name in _SETTINGS):
        os.environ.update(dict.fromkeys(_SETTINGS, "expandable_segments:True"))
