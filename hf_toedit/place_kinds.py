"""Kinds of places as named in statistics; `editing/kinds.py` defines them."""

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
"""Kinds of places as named in statistics, with their names in words."""


class KindCounts(NamedTuple):
    """Counts of tokens of one kind."""

    num_selected: int
    num_changed: int
    num_dropped: int


def counts_by_kind(counted: Sequence[tuple[Mapping[str, int], int]]) -> dict[str, KindCounts]:
    """Return the counts of each kind that occurs, in the order of `KINDS`.

    Args:
        counted: Selected, changed and dropped tokens, each by kind and in total.

    Returns:
        Counts by kind; empty if the kinds do not add up to the totals, since some tokens were not counted by kind.
    """
    if any(sum(counts.get(kind, 0) for kind in KINDS) != whole for counts, whole in counted):
        return {}
    found = {kind: KindCounts(*(counts.get(kind, 0) for counts, _ in counted)) for kind in KINDS}
    return {kind: counts for kind, counts in found.items() if any(counts)}


def counted_kinds(counts: Mapping[str, int]) -> str:
    """Format the counts by kind, such as `2 number, 1 whole word`; empty if there are none."""
    return ", ".join(f"{counts[kind]:,} {words}" for kind, words in KINDS.items() if counts.get(kind))
