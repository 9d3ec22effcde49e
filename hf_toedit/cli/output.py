"""What people see: the table of generations, progress, and coloured differences. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hf_toedit.cards.escape import printable
from hf_toedit.editing.diff import ADDED, GAP, REMOVED, segments
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.picture.words import generation_columns, kind_columns
from hf_toedit.runs.status import Status
from hf_toedit.stats import SAMPLE, EditStats

_CONTEXT = 40


def console() -> Console:
    """Standard output; colours only where it is a terminal that has them."""
    return Console(highlight=False, soft_wrap=True)


def has_colours(screen: Console) -> bool:
    """Whether colours may mark text; not where `NO_COLOR` is set."""
    return screen.color_system is not None and not screen.no_color


def statistics_tables(status: Status) -> Group:
    """What was counted in each pass that writes rows."""
    generations = [stats for stats in status.statistics if isinstance(stats, EditStats)]
    if generations:
        return generation_tables(generations)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("pass", "figures"):
        table.add_column(heading)
    for entry in status.passes:
        table.add_row(entry.pass_.name, Text(printable(entry.statistics.headline)))
    return Group(table)


def generation_tables(generations: Sequence[EditStats]) -> Group:
    """The paper's Table 9 for a run, with several generations their decay and distance from the source; and kinds."""
    table = _table(generation_columns(generations))
    if any(stats.is_sample for stats in generations):
        table.caption = f"probabilities, perplexity: from a sample of 1 token in {SAMPLE}"
    kinds = kind_columns(generations)
    return Group(table, Text(""), _table(kinds)) if kinds else Group(table)


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def counted(number: int, what: str) -> str:
    """`1 shard`, `2,000 shards`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def diff_line(table: PieceTable, max_places: int, colour: bool) -> Text:
    """Edited places with a little text around, before and after, on one line.

    Args:
        table: a text and its differences from the source.
        max_places: places shown at most.
        colour: strike and colour; otherwise `[-before-]{+after+}`.
    """
    line = Text()
    marks = {REMOVED: ("[-", "-]"), ADDED: ("{+", "+}")}
    styles = {REMOVED: "red strike", ADDED: "green bold", GAP: "dim"}
    for kind, text in segments(table, max_places, _CONTEXT):
        opening, closing = ("", "") if colour else marks.get(kind, ("", ""))
        line.append(f"{opening}{printable(text)}{closing}", style=styles.get(kind))
    return line


def first_changed(tables: Iterator[PieceTable | None], count: int) -> list[PieceTable]:
    """The first few texts that differ from their source."""
    changed = []
    for table in tables:
        if table and table.edits:
            changed.append(table)
        if len(changed) == count:
            break
    return changed
