"""Front matter of a README: a bound on YAML that anyone may have written."""

from __future__ import annotations

from typing import Any

_MOST = 10**7
"""Maximum number of characters and values; real cards have less than a tenth of that."""

_DEEPEST = 100


def check_bounded(values: Any) -> None:
    """Refuse values of YAML that references expand beyond all bounds: 500 bytes can stand for 10^10 values.

    Args:
        values: The parsed values, which may share parts, or contain themselves.

    Raises:
        ValueError: The values are too many, or nested too deeply.
    """
    sizes: dict[int, tuple[float, float]] = {}

    def size(value: Any) -> tuple[float, float]:
        """Return the number of characters and values, and the depth."""
        if not isinstance(value, dict | list | tuple | set):
            return 1 + (len(value) if isinstance(value, str | bytes) else 0), 0
        if id(value) not in sizes:
            sizes[id(value)] = float("inf"), float("inf")  # until it is known: a part that contains itself has no end
            parts = [size(part) for part in (*value, *(value.values() if isinstance(value, dict) else ()))]
            sizes[id(value)] = 1 + sum(part[0] for part in parts), 1 + max((part[1] for part in parts), default=0)
        return sizes[id(value)]

    try:
        total, depth = size(values)
    except RecursionError:
        total, depth = 0, float("inf")
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if total > _MOST:
        raise ValueError("its references expand to too much text")
