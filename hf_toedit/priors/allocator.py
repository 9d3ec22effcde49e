"""How memory that a pass frees is used again, on a CPU and on a GPU.

On a CPU, fresh pages cost up to a sixth of a small model's time: glibc hands large blocks back to the system as they
are freed, and the system clears each page that is asked for again.
"""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's `mallopt` calls them (malloc.h)."""

KEPT_BYTES = 2**29
LARGEST_KEPT_BYTES = 2**26


def keep_freed_memory() -> None:
    """Have this process keep 512 MB of what it frees, in blocks of up to 64 MB.

    Where another library than glibc allocates, or the environment says how glibc shall, everything stays.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    glibc = ctypes.CDLL(None)
    glibc.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
    glibc.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


_SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Where torch reads how it allocates a GPU's memory: the second name is that of versions before 2.9."""


def use_expandable_segments() -> None:
    """Have torch grow blocks of a GPU's memory, so that passes of many sizes leave no gaps that none of them fits.

    Call it before torch allocates on a GPU. A process whose environment has settings of its own keeps them.
    """
    if not any(name in os.environ for name in _SETTINGS):
        os.environ.update(dict.fromkeys(_SETTINGS, "expandable_segments:True"))
