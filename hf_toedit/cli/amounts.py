"""Amounts as people type them."""

from __future__ import annotations

import re

from hf_toedit.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def num_tokens(given: str) -> int:
    """A number of tokens, such as 50M.

    Raises:
        UsageError: It is not a number of tokens.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", given.strip().upper())
    if found is None:
        raise UsageError(f"--tokens {given!r} is not a number of tokens. Write it as 50M or 2.5B.")
    return round(float(found[1]) * _UNITS[found[2]])
