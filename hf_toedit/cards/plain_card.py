"""The card section of a task without a card of its own."""

from __future__ import annotations

from collections.abc import Iterator

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, fenced, markdown
from hf_toedit.cards.origin import model_words, source_name, source_rows, version_rows
from hf_toedit.cards.section import load_snippet
from hf_toedit.cards.tables import field_table, table


def plain_section(data: CardData) -> str:
    """Return Markdown about a run: how to load it, its origin, its figures and its columns."""
    heading = "###" if data.prefix else "##"
    origin = [*source_rows(data), ("model", model_words(data)), *version_rows(data)]
    parts = [
        f"This is {markdown(source_name(data))}, {data.plan.task.done} by hf-toedit {markdown(data.plan.version)}.",
        f"{heading} Loading",
        fenced(load_snippet(data), "python"),
        f"{heading} Origin",
        table(("what", "value"), origin, left=2),
        f"{heading} Figures",
        table(("pass", "what", "value"), _figures(data), left=2),
        f"{heading} Fields",
        field_table(data, {}),
    ]
    return "\n\n".join(parts)


def _figures(data: CardData) -> Iterator[tuple[Markdown, str, str]]:
    for pass_, stats in zip(data.plan.data_passes, data.totals, strict=True):
        for name, value in stats.summary().items():
            if isinstance(value, int | float):
                words = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
                yield code(pass_.name), name.replace("_", " "), words
