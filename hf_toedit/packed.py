"""Compact encoding of whole numbers as a string for JSON.

The numbers are 64-bit little-endian integers. All lowest bytes come first, then all second bytes, and so on, which zlib
compresses well; the result is encoded in base64.
"""

from __future__ import annotations

import base64
import zlib

import numpy as np


def packed(numbers: np.ndarray) -> str:
    """Encode numbers as a string.

    Args:
        numbers: int64 `[n]`.
    """
    planes = np.asarray(numbers, "<i8").view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(zlib.compress(planes.tobytes())).decode()


def unpacked(text: str, most: int) -> np.ndarray:
    """Decode the output of `packed`; the input need not be trusted.

    Args:
        text: The string.
        most: Maximum number of numbers.

    Returns:
        int64 `[n]`.

    Raises:
        ValueError: The string is not valid, or contains more numbers.
    """
    try:
        planes = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 8 * most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(planes) % 8 or len(planes) > 8 * most:
        raise ValueError(f"it does not hold at most {most} numbers")
    return np.frombuffer(planes, np.uint8).reshape(8, -1).T.copy().view("<i8").astype(np.int64).reshape(-1)
