"""Reproducible items by their names in the papers; the module of an item is imported on demand."""

from __future__ import annotations

from importlib import import_module

from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.papers.item import Item

_ITEMS = (
    "hf_toedit.papers.toedit.collapse:Figure1",
    "hf_toedit.papers.toedit.mixtures:Figure2",
    "hf_toedit.papers.toedit.synthetic:Figure3",
    "hf_toedit.papers.toedit.selected:Figure4",
    "hf_toedit.papers.toedit.synthetic:Figure5",
    "hf_toedit.papers.toedit.synthetic:Figure10",
    "hf_toedit.papers.toedit.synthetic:Figure11",
    "hf_toedit.papers.toedit.synthetic:Figure12",
    "hf_toedit.papers.toedit.edited:Table2",
    "hf_toedit.papers.toedit.edited:Table3",
    "hf_toedit.papers.toedit.edited:Table4",
    "hf_toedit.papers.toedit.ablations:Table5",
    "hf_toedit.papers.toedit.ablations:Table6",
    "hf_toedit.papers.toedit.ablations:Table7",
    "hf_toedit.papers.toedit.edits:Table8",
    "hf_toedit.papers.toedit.edits:Table9",
    "hf_toedit.papers.toedit.cost:AppendixD3",
    "hf_toedit.papers.toedit.theory:Theorem1",
    "hf_toedit.papers.toedit.theory:Theorem2",
    "hf_toedit.papers.toedit.theory:Equation7",
    "hf_toedit.papers.toedit.theory:Equation8",
    "hf_toedit.papers.reinforcement.theory:Theorem32",
    "hf_toedit.papers.reinforcement.theory:Figure2",
    "hf_toedit.papers.reinforcement.theory:Figure3",
    "hf_toedit.papers.reinforcement.summary_selection:Figure4",
    "hf_toedit.papers.reinforcement.theory:Figure5",
    "hf_toedit.papers.reinforcement.eigenvalue_tables:Table1",
    "hf_toedit.papers.reinforcement.eigenvalue_tables:Table2",
    "hf_toedit.papers.reinforcement.eigenvalue_tables:Table3",
    "hf_toedit.papers.reinforcement.eigenvalue_tables:Table4",
)


def items() -> list[Item]:
    """Return all items, in the order of the papers."""
    return [_made(place) for place in _ITEMS]


def find_item(name: str) -> Item:
    """Return an item by name.

    Args:
        name: Its name in the paper, such as `Table 9`, case-insensitive; `toedit:Figure 2` if both papers have one.

    Raises:
        UsageError: There is no such item, or there are two.
    """
    known = items()
    wanted = " ".join(name.split()).casefold()
    found = [item for item in known if wanted in (item.name.casefold(), item.title.casefold())]
    if not found:
        raise UsageError(
            f"unknown name {name!r}.{did_you_mean(name, [item.name for item in known])} `hf-toedit reproduce` "
            f"lists all names."
        )
    if len(found) > 1:
        raise UsageError(f"both papers have a {name}. Use {' or '.join(repr(item.title) for item in found)}.")
    return found[0]


def _made(place: str) -> Item:
    module, _, name = place.partition(":")
    found = getattr(import_module(module), name)()
    assert isinstance(found, Item)
    return found
