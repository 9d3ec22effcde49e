"""Hashes that are the same on every machine, of bytes and of numbers."""

from __future__ import annotations

import numpy as np
import xxhash


def key(data: bytes, seed: int = 0) -> int:
    """64 bits of bytes: their XXH3.

    Args:
        data: The bytes.
        seed: Another one gives another hash; from 0 to 2^64 - 1.
    """
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def mixed(values: np.ndarray) -> np.ndarray:
    """64 bits of 64 bits, without a pattern of the input and without collisions: one step of SplitMix64.

    Args:
        values: uint64 `[n]`.

    Returns:
        uint64 `[n]`.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
