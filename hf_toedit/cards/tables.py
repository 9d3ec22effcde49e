"""Markdown tables for every card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, markdown

_TYPE_LENGTH = 200


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> Markdown:
    """Return a Markdown table; columns after the first `left` are numbers and right-aligned."""
    lines = [headings, [":---" if number < left else "---:" for number in range(len(headings))], *rows]
    return Markdown("\n".join("| " + " | ".join(markdown(cell) for cell in line) + " |" for line in lines))


def field_table(data: CardData, columns: Mapping[str | None, str]) -> Markdown:
    """Return a table of all columns and what was done with them.

    Args:
        data: The card data.
        columns: Descriptions of the columns that the task adds to the source's.
    """
    source, done = data.plan.source, data.plan.task.done
    notes = {path: "context" for path in source.context_columns}
    notes |= {path: done for path in (source.messages_column or "", *source.text_columns)}
    rows = [
        (code(name), code(short(type_name(feature))), columns.get(name) or _note(name, notes))
        for name, feature in data.features.items()
    ]
    return table(("column", "type", ""), rows, left=3)


def type_name(feature: Any) -> str:
    """Describe a feature of `datasets` in few words."""
    if isinstance(feature, dict):
        return "{" + ", ".join(f"{name}: {type_name(inner)}" for name, inner in feature.items()) + "}"
    if isinstance(feature, str):
        return feature
    kind = type(feature).__name__
    if kind == "Value":
        return str(feature.dtype)
    if kind in ("List", "LargeList"):
        return f"list of {type_name(feature.feature)}"
    if kind == "ClassLabel":
        return f"class label: {', '.join(feature.names)}"
    shape = getattr(feature, "shape", None)
    return f"{kind.lower()} {'×'.join(map(str, shape))} of {feature.dtype}" if shape else kind.lower()


def short(text: str) -> str:
    """Shorten a name or a type of any length."""
    return text if len(text) <= _TYPE_LENGTH else text[: _TYPE_LENGTH - 1] + "…"


def _note(name: str, notes: dict[str, str]) -> str:
    """Return what was done with a column, or with texts in it."""
    own = {note for path, note in notes.items() if path == name or path.startswith((f"{name}.", f"{name}[]"))}
    return ", ".join(sorted(own))
