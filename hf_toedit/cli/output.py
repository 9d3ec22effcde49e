"""What people see: the table of generations, progress, and coloured differences. Nothing is computed here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from hf_toedit.cards.escape import printable
from hf_toedit.editing.diff import ADDED, GAP, REMOVED, segments
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.picture.words import generation_columns
from hf_toedit.runs.monitor import Speed
from hf_toedit.stats import SAMPLE, EditStats

_CONTEXT = 40


def console() -> Console:
    """Standard output; colours only where it is a terminal that has them."""
    return Console(highlight=False, soft_wrap=True)


def has_colours(screen: Console) -> bool:
    """Whether marks may be told by colour; not where `NO_COLOR` is set."""
    return screen.color_system is not None and not screen.no_color


def generations_table(generations: Sequence[EditStats]) -> Table:
    """The paper's Table 9 for a run and, with several generations, their decay and distance from the source."""
    columns = generation_columns(generations)
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    if any(stats.is_sample for stats in generations):
        table.caption = f"probabilities, perplexity: from a sample of 1 token in {SAMPLE}"
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


class EditProgress:
    """A progress bar on standard error with tokens/s, time left, selected and changed %; silent where no one looks."""

    def __init__(self, num_rows: int | None, quiet: bool) -> None:
        """Set up for `num_rows` rows over all generations; None where they are not counted."""
        self._sums = {"num_rows": 0, "num_tokens": 0, "num_selected": 0, "num_changed": 0}
        self._speed = Speed()
        self._bar = Progress(
            # Short enough for 80 columns: rich cuts what does not fit, and the time left stands last.
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("loading", total=num_rows, figures="")

    def __call__(self, generation: int, counts: Mapping[str, int]) -> None:
        """Count a batch of rows."""
        if self._bar.disable:
            return
        for name in self._sums:
            self._sums[name] += counts[name]
        self._speed.add(counts["num_tokens_read"])
        tokens = max(self._sums["num_tokens"], 1)
        figures = (
            f"{self._speed.per_second():,.0f} tokens/s "
            f"selected {self._sums['num_selected'] / tokens:.1%} changed {self._sums['num_changed'] / tokens:.2%}"
        )
        num_rows = self._sums["num_rows"]
        if counts["num_tokens_read"] < counts["num_tokens"]:
            self._bar.reset(self._task, completed=num_rows)  # without what it estimates the time left by
        self._bar.update(self._task, completed=num_rows, description=f"gen {generation}", figures=figures)

    def __enter__(self) -> EditProgress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away."""
        self._bar.stop()


@contextmanager
def counted_progress(what: str, number: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error, of `shards` or `files`; what it gives is called after each."""
    with Progress(
        *(TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True)),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=number)
        yield lambda: bar.advance(task)


@contextmanager
def push_progress(quiet: bool) -> Iterator[Callable[[int], None]]:
    """Files and bytes on standard error; what it gives is called with the bytes of each file that is through."""
    with Progress(
        *(TextColumn("pushed"), TextColumn("{task.fields[files]} files"), DownloadColumn(), TransferSpeedColumn()),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None, files=0)
        files = 0

        def through(num_bytes: int) -> None:
            nonlocal files
            files += 1
            bar.update(task, advance=num_bytes, files=files)

        yield through


def first_changed(tables: Iterator[PieceTable | None], count: int) -> list[PieceTable]:
    """The first few texts that differ from their source."""
    changed = []
    for table in tables:
        if table and table.edits:
            changed.append(table)
        if len(changed) == count:
            break
    return changed
