"""Hashes of bytes and of numbers that are the same on every machine."""

from __future__ import annotations

import numpy as np
import xxhash


def key(data: bytes, seed: int = 0) -> int:
    """Return a 64-bit hash of bytes, by XXH3.

    Args:
        data: The bytes.
        seed: Seed of the hash; from 0 to 2^64 - 1.
    """
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def mixed(values: np.ndarray) -> np.ndarray:
    """Mix 64-bit values into 64-bit hashes without collisions: one step of SplitMix64.

    Args:
        values: uint64 `[n]`.

    Returns:
        uint64 `[n]`.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
