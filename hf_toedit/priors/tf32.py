"""Products of half-precision values on the tensor cores of a GPU, in TF32, where it loses nothing.

TF32 has the exponent of float32 and 10 bits of mantissa, so that every bfloat16 and float16 value is exact in it. It
sums in float32. A float32 weight would be rounded; so it is used only where both operands were half precision.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

HALF = (torch.bfloat16, torch.float16)

_turn = threading.Lock()


@contextmanager
def tf32() -> Iterator[None]:
    """Allow TF32 in matrix products of float32 on CUDA; afterwards the setting is as before.

    PyTorch reads the setting when it launches a product, and has one for the whole process: one thread at a time, so
    that none restores what another has set. A float32 model in another thread could meet it.
    """
    settings = torch.backends.cuda.matmul
    # Since torch 2.9 under another name; a process must not use both.
    name, value = ("fp32_precision", "tf32") if hasattr(settings, "fp32_precision") else ("allow_tf32", True)
    with _turn:
        before = getattr(settings, name)
        setattr(settings, name, value)
        try:
            yield
        finally:
            setattr(settings, name, before)
