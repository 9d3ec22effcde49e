"""Progress bars for long calls, on standard error of a terminal or in a notebook; otherwise nothing is shown."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from hf_toedit.runs.monitor import Speed


class RunProgress:
    """A progress bar on standard error: stage, tokens/s, time left and elapsed; for edits, selected and changed %."""

    def __init__(self, num_rows: int | None, quiet: bool, stage: str) -> None:
        """Create a bar.

        Args:
            num_rows: Rows over all passes; None if the number of rows is unknown.
            quiet: Show nothing.
            stage: Shown until the first rows are done, such as "loading prior org/model".
        """
        self._sums: Counter[str] = Counter()
        self._speed = Speed()
        self._bar = _bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),  # what the others leave of the terminal
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            TimeElapsedColumn(),
            quiet=quiet,
            expand=True,
        )
        self._task = self._bar.add_task(stage, total=num_rows, figures="")

    def __call__(self, pass_name: str, counts: Mapping[str, int]) -> None:
        """Count a batch of rows."""
        if self._bar.disable:
            return
        self._sums.update(counts)
        self._speed.add(counts["num_tokens_read"])
        tokens = max(self._sums["num_tokens"], 1)
        speed = self._speed.per_second()
        figures = [f"{speed:,.0f} tokens/s"] if speed else []  # not known after the first batch
        if "num_selected" in counts:
            selected, changed = self._sums["num_selected"] / tokens, self._sums["num_changed"] / tokens
            figures.append(f"selected {selected:.1%} changed {changed:.2%}")
        num_rows = self._sums["num_rows"]
        if counts["num_tokens_read"] < counts["num_tokens"]:
            self._bar.reset(self._task, completed=num_rows)  # discards the samples of its time estimate
        self._bar.update(self._task, completed=num_rows, description=pass_name, figures=" ".join(figures))

    def __enter__(self) -> RunProgress:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._bar.stop()


@contextmanager
def stage_progress(stage: str, quiet: bool) -> Iterator[None]:
    """Show the name of a stage of unknown length, and its time, on standard error."""
    with _bar(SpinnerColumn(), TextColumn(stage), TimeElapsedColumn(), quiet=quiet) as bar:
        bar.add_task("", total=None)
        yield


@contextmanager
def counted_progress(what: str, number: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error for `shards` or `files`; call the yielded function after each."""
    with _bar(
        *(TextColumn(what), BarColumn(bar_width=None), MofNCompleteColumn()),
        *(TimeRemainingColumn(compact=True), TimeElapsedColumn()),
        quiet=quiet,
        expand=True,
    ) as bar:
        task = bar.add_task("", total=number)
        yield lambda: bar.advance(task)


@contextmanager
def push_progress(quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show uploaded files and bytes on standard error; call the yielded function with each finished file's size."""
    with _bar(
        *(TextColumn("pushed"), TextColumn("{task.fields[files]} files"), DownloadColumn(), TransferSpeedColumn()),
        quiet=quiet,
    ) as bar:
        task = bar.add_task("", total=None, files=0)
        files = 0

        def through(num_bytes: int) -> None:
            nonlocal files
            files += 1
            bar.update(task, advance=num_bytes, files=files)

        yield through


def _bar(*columns: ProgressColumn, quiet: bool, expand: bool = False) -> Progress:
    """Return a bar for standard error, which shows nothing if it is quiet or nobody watches."""
    hidden = quiet or not (sys.stderr.isatty() or Console(stderr=True).is_jupyter)
    # Before rich 14.3, a disabled bar ends with an empty line, unless its console is quiet.
    console = Console(stderr=True, quiet=hidden)
    return Progress(*columns, console=console, disable=hidden, transient=True, expand=expand)
