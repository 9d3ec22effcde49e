"""Numbers as tokens: P1000, which encodes a number as a sign, a mantissa of three digits and an exponent.

Charton 2021, "Linear algebra with transformers", arXiv 2112.01898, Section 2.
"""

from __future__ import annotations

import numpy as np

PAD, START = 0, 1

_PLUS, _MINUS = 2, 3

MANTISSAS = 4
"""Token of the mantissa 0; those up to 999 follow."""

_LOWEST, _HIGHEST = -12, 2
"""Range of exponents of ten, for integer mantissas. Smaller numbers become 0."""

_EXPONENTS = MANTISSAS + 1000
"""Token of the smallest exponent."""

_DIMENSIONS = _EXPONENTS + _HIGHEST - _LOWEST + 1
"""Token of the dimension 1."""

MAX_DIMENSION = 10

VOCABULARY = (
    "<pad>",
    "<s>",
    "+",
    "-",
    *map(str, range(1000)),
    *(f"E{exponent}" for exponent in range(_LOWEST, _HIGHEST + 1)),
    *(f"V{dimension}" for dimension in range(1, MAX_DIMENSION + 1)),
)
"""Names of the tokens, in the order of their ids."""

LARGEST = 999 * 10.0**_HIGHEST
"""The largest number that can be encoded."""


def encode(numbers: np.ndarray) -> np.ndarray:
    """Encode numbers as tokens, rounded to three significant digits.

    Args:
        numbers: Finite numbers, `[..., n]`.

    Returns:
        Token ids, `[..., 3 n]`: 3.14159 is `+ 314 E-2`, and 0 is `+ 0 E0`.

    Raises:
        ValueError: A number is larger than `LARGEST`, or not finite.
    """
    size = np.abs(numbers)
    if not (size <= LARGEST).all():
        raise ValueError(f"numbers must be finite, and at most {LARGEST:g} in size")
    exponents = np.floor(np.log10(np.maximum(size, 10.0 ** (_LOWEST - 3)))).astype(np.int64) - 2
    mantissas = np.rint(size / 10.0**exponents).astype(np.int64)
    is_round = mantissas == 1000
    mantissas[is_round], exponents[is_round] = 100, exponents[is_round] + 1
    is_zero = exponents < _LOWEST
    mantissas[is_zero], exponents[is_zero] = 0, 0
    signs = np.where((numbers < 0) & ~is_zero, _MINUS, _PLUS)
    tokens = np.stack([signs, MANTISSAS + mantissas, _EXPONENTS + exponents - _LOWEST], axis=-1)
    return tokens.reshape(*tokens.shape[:-2], -1)


def decode(tokens: np.ndarray) -> np.ndarray:
    """Decode tokens to numbers.

    Args:
        tokens: Token ids, `[..., 3 n]`.

    Returns:
        `[..., n]`; NaN where three tokens are not a sign, a mantissa and an exponent.
    """
    signs, mantissas, exponents = np.moveaxis(tokens.reshape(*tokens.shape[:-1], -1, 3), -1, 0)
    mantissas, exponents = mantissas - MANTISSAS, exponents - _EXPONENTS + _LOWEST
    is_number = np.isin(signs, (_PLUS, _MINUS)) & (mantissas >= 0) & (mantissas < 1000)
    is_number &= (exponents >= _LOWEST) & (exponents <= _HIGHEST)
    powers = 10.0 ** np.abs(np.where(is_number, exponents, 0))
    sizes = np.where(exponents < 0, mantissas / powers, mantissas * powers)  # the nearest float, as from "3.14"
    return np.where(is_number, np.where(signs == _MINUS, -sizes, sizes), np.nan)


def encode_matrices(matrices: np.ndarray, all_entries: bool) -> np.ndarray:
    """Encode symmetric matrices as tokens: their dimension, then their entries by row.

    Args:
        matrices: `[k, d, d]`.
        all_entries: Encode all entries; if false, only those on and above the diagonal.

    Returns:
        Token ids, `[k, 1 + 3 d²]` or `[k, 1 + 3 d (d + 1) / 2]`.
    """
    count, dimension, _ = matrices.shape
    rows, columns = np.indices((dimension, dimension)).reshape(2, -1) if all_entries else np.triu_indices(dimension)
    first = np.full((count, 1), _DIMENSIONS + dimension - 1)
    return np.concatenate([first, encode(matrices[:, rows, columns])], axis=1)
