"""Whole numbers as a short string for JSON.

As 64-bit little-endian integers: all their lowest bytes first, then all of the next, …, which is what zlib makes small;
and that in base64.
"""

from __future__ import annotations

import base64
import zlib

import numpy as np


def packed(numbers: np.ndarray) -> str:
    """Numbers as a string.

    Args:
        numbers: int64 `[n]`.
    """
    planes = np.asarray(numbers, "<i8").view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(zlib.compress(planes.tobytes())).decode()


def unpacked(text: str, most: int) -> np.ndarray:
    """Numbers from what `packed` gave; it may come from anyone.

    Args:
        text: The string.
        most: How many there may be.

    Returns:
        int64 `[n]`.

    Raises:
        ValueError: It did not, or holds more of them.
    """
    try:
        planes = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 8 * most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(planes) % 8 or len(planes) > 8 * most:
        raise ValueError(f"it does not hold at most {most} numbers")
    return np.frombuffer(planes, np.uint8).reshape(8, -1).T.copy().view("<i8").astype(np.int64).reshape(-1)
