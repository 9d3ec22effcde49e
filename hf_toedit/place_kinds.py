"""Kinds of places, as statistics name them; what each of them is, `editing/kinds.py` defines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

KINDS = {
    "number": "number",
    "inside_word": "inside a word",
    "capitalised_word": "capitalised word",
    "whole_word": "whole word",
    "punctuation": "punctuation",
    "whitespace": "whitespace",
    "code": "code or markup",
}
"""Kinds of places, as statistics name them, and in words."""


class KindCounts(NamedTuple):
    """Tokens of one kind."""

    num_selected: int
    num_changed: int
    num_dropped: int


def counts_by_kind(counted: Sequence[tuple[Mapping[str, int], int]]) -> dict[str, KindCounts]:
    """Counts of each kind that has any, in the order of `KINDS`.

    Args:
        counted: selected, changed and dropped tokens, by kind and in all.

    Returns:
        Empty where the kinds do not add up to the whole: not all that was counted was counted by kind.
    """
    if any(sum(counts.get(kind, 0) for kind in KINDS) != whole for counts, whole in counted):
        return {}
    found = {kind: KindCounts(*(counts.get(kind, 0) for counts, _ in counted)) for kind in KINDS}
    return {kind: counts for kind, counts in found.items() if any(counts)}


def counted_kinds(counts: Mapping[str, int]) -> str:
    """How many there are of each kind, such as `2 number, 1 whole word`; empty where there are none."""
    return ", ".join(f"{counts[kind]:,} {words}" for kind, words in KINDS.items() if counts.get(kind))
