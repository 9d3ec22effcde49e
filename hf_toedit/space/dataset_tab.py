"""The tab that shows the rows of an edited dataset: its layout and its event handlers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from hf_toedit.errors import ToEditError, UsageError
from hf_toedit.picture.html import notice_html
from hf_toedit.space import permalink
from hf_toedit.space.opening import OpenRun, Runs
from hf_toedit.space.row_link import PREFIX, RowAddress
from hf_toedit.space.row_view import row_html
from hf_toedit.space.rows import RunRows
from hf_toedit.space.run_figures import run_html
from hf_toedit.space.settings import SpaceSettings

_AT_ONCE = 8
"""Maximum number of concurrent requests; most of their time is spent waiting for files."""

_MOST_GENERATIONS = 50
"""Maximum number of generations to choose from."""

_GROUPS_OPENED = 4
"""Maximum number of row groups to search for a first row."""

_ANY = 1e-12
"""A share of changed tokens that is not larger than that of any row with a change."""

TAB_ID = "te-dataset"
"""Id of the surrounding `gr.Tab`; its content does not exist until the tab is selected."""

# A link to a row selects the tab that shows it.
_READ_ADDRESS = """(fragment) => {
    if (location.hash.startsWith("#te1-row?")) document.getElementById("te-dataset-button")?.click();
    return location.hash;
}"""


class Search(NamedTuple):
    """State of a search for rows that has found none so far.

    Attributes:
        step: Direction of the search.
        least: Minimum changed share of a row, in percent.
        most: Maximum changed share of a row, in percent.
        last: Row from which the search continues.
    """

    step: int
    least: float
    most: float
    last: int


class Browsing:
    """The event handlers of the tab, for concurrent visitors; they share only open runs, which are never modified.

    Handlers return values of the outputs named in `dataset_tab`, in that order.
    """

    def __init__(self, settings: SpaceSettings) -> None:
        """Start without open runs.

        Args:
            settings: What visitors may do.
        """
        self._settings = settings
        self._runs = Runs(settings)

    def open(self, name: str) -> list[Any]:
        """Open a run by name: return its figures, and the first changed row of its last generation."""
        try:
            run = self._runs.open(name)
            generation, split = run.rows.generations[-1], run.rows.splits[0]
            first = _first_changed(run.rows, generation, split)
            return self._opened(run, RowAddress(run.name, generation, split, first))
        except ToEditError as error:
            return [notice_html(str(error)), *[gr.skip()] * (_NUM_OUTPUTS - 1)]

    def restore(self, fragment: str) -> Any:
        """Handle a page load: show the row that the address names, or else the initial dataset."""
        if not fragment.startswith(PREFIX):
            return [self._settings.source, *self.open(self._settings.source)] if self._settings.source else gr.skip()
        name: Any = gr.skip()
        try:
            place = RowAddress.from_fragment(fragment)
            name = place.run
            run = self._runs.open(place.run, is_link=True)
            return [name, *self._opened(run, replace(place, run=run.name))]
        except ToEditError as error:
            return [name, notice_html(str(error)), *[gr.skip()] * (_NUM_OUTPUTS - 1)]

    def generation(self, place: RowAddress | None, reverted: bool, generation: int) -> list[Any]:
        """Handle the choice of a generation: show the same row in it."""
        return self._go(place, reverted, generation=generation)

    def split(self, place: RowAddress | None, reverted: bool, split: str) -> list[Any]:
        """Handle the choice of a split: show its first row."""
        return self._go(place, reverted, split=split, row=0)

    def row(self, place: RowAddress | None, reverted: bool, number: int | None) -> list[Any]:
        """Handle the input of a row number; an emptied field gets its number back."""
        if place is not None and number == place.row:
            return [gr.skip()] * _NUM_MOVED
        return self._go(place, reverted, **({} if number is None else {"row": number}))

    def revert(self, place: RowAddress | None, reverted: bool) -> list[Any]:
        """Handle the switch between an edited row and its source."""
        return self._go(place, reverted)

    def previous(
        self, place: RowAddress | None, reverted: bool, search: Search | None, least: float, most: float
    ) -> list[Any]:
        """Handle the button: show the previous row, or the nearest previous one that matches the filter."""
        return self._step(place, reverted, search, least, most, -1)

    def following(
        self, place: RowAddress | None, reverted: bool, search: Search | None, least: float, most: float
    ) -> list[Any]:
        """Handle the button: show the next row, or the nearest next one that matches the filter."""
        return self._step(place, reverted, search, least, most, 1)

    def _step(
        self, place: RowAddress | None, reverted: bool, search: Search | None, least: float, most: float, step: int
    ) -> list[Any]:
        if place is None:
            return _left_alone()
        try:
            rows = self._runs.get(place.run).rows
            if least <= 0 and most >= 100:
                number = rows.beside(place.generation, place.split, place.row, step)
                if number is None:
                    return _refused(place, f"This is the {'last' if step > 0 else 'first'} row.")
                return self._go(place, reverted, row=number)
            start = search.last if search and search[:-1] == (step, least, most) else place.row
            found = rows.search(place.generation, place.split, start, step, least / 100, most / 100)
        except ToEditError as error:
            return _refused(place, str(error))
        if found.number is not None:
            return self._go(place, reverted, row=found.number)
        where = "after" if step > 0 else "before"
        if found.at_end:
            return _refused(place, f"No row {where} row {place.row:,} has a share of changed tokens in this range.")
        words = (
            f"No row fits among the {found.num_rows:,} {where} row {start:,}. Press the same button to look further."
        )
        return _refused(place, words, Search(step, least, most, found.last))

    def _opened(self, run: OpenRun, place: RowAddress) -> list[Any]:
        rows = run.rows
        moved = self._moved(run, place, False)
        generations = rows.generations[:_MOST_GENERATIONS]
        has_log = rows.has_log
        return [
            "",
            gr.Column(visible=True),
            run_html(run),
            gr.Radio(choices=generations, visible=len(rows.generations) > 1),
            gr.Dropdown(choices=rows.splits, visible=len(rows.splits) > 1),
            gr.Column(visible=has_log),
            gr.Checkbox(value=False, visible=has_log),
            gr.Textbox(visible=run.address is not None),
            *moved[1:],
        ]

    def _go(self, place: RowAddress | None, reverted: bool, **changes: Any) -> list[Any]:
        """Show another place; on failure, report the reason and stay."""
        if place is None:
            return _left_alone()
        try:
            run = self._runs.get(place.run)
            return self._moved(run, replace(place, **changes), reverted)
        except ToEditError as error:
            return _refused(place, str(error))

    def _moved(self, run: OpenRun, place: RowAddress, reverted: bool) -> list[Any]:
        if place.split not in run.rows.splits or place.generation not in run.rows.generations:
            raise UsageError(f"this run has no rows in split {place.split!r} and generation {place.generation}.")
        row = run.rows.row(place.generation, place.split, place.row)
        shown = row_html(row, run.rows, self._settings.max_characters, reverted)
        last = f"0 to {run.rows.num_rows(place.split) - 1:,}"
        fragment = place.to_fragment() if run.address else ""
        number = gr.Number(value=place.row, info=last)
        return ["", place.generation, place.split, number, shown, fragment, place, None]


_NUM_OUTPUTS, _NUM_MOVED = 15, 8


def _first_changed(rows: RunRows, generation: int, split: str) -> int:
    """Return a first row to show: the first changed by this generation, else by generation 1, else any."""
    for looked in dict.fromkeys((generation, rows.generations[0])) if rows.has_log else ():
        found = rows.search(looked, split, -1, 1, _ANY, 1.0, _GROUPS_OPENED).number
        if found is not None and rows.is_done(generation, split, found):
            return found
    return rows.beside(generation, split, -1, 1) or 0


def _refused(place: RowAddress, why: str, search: Search | None = None) -> list[Any]:
    """Return outputs that keep the visitor's place and show the reason."""
    return [notice_html(why), place.generation, place.split, place.row, gr.skip(), gr.skip(), gr.skip(), search]


def _left_alone() -> list[Any]:
    gr.Warning("This page was idle for too long. Open the dataset again.")
    return [gr.skip()] * _NUM_MOVED


def dataset_tab(app: gr.Blocks, settings: SpaceSettings) -> None:
    """Build the tab; called inside a `gr.Tab` whose `elem_id` is `TAB_ID`.

    Args:
        app: Reports page loads.
        settings: What visitors may do.
    """
    browsing = Browsing(settings)
    styled: dict[str, Any] = {"apply_default_css": False, "js_on_load": None}
    with gr.Row(equal_height=False):
        name = gr.Textbox(
            settings.source, label="Dataset", max_lines=1, scale=4, min_width=240,
            info="Edited with hf-toedit: org/name or org/name@revision on the Hub"
            + (", or a run folder on this machine." if settings.local else "."),
        )  # fmt: skip
        open_button = gr.Button("Open", variant="primary", scale=1, min_width=120)
    notice = gr.HTML(**styled)
    with gr.Column(visible=False) as panel:
        figures = gr.HTML(**styled)
        with gr.Row(elem_classes="te-steps"):
            generation = gr.Radio([1], value=1, label="Generation", scale=3, min_width=240)
            split = gr.Dropdown(["train"], value="train", label="Split", min_width=160)
            number = gr.Number(0, label="Row", precision=0, min_width=160)
            with gr.Row():
                previous = gr.Button("Previous row", min_width=130)
                following = gr.Button("Next row", min_width=130)
        with gr.Column() as log_controls:
            with gr.Row():
                least = gr.Slider(
                    0, 100, 0, step=0.1, label="Changed, at least %", min_width=260,
                    info="Previous and Next stop only at rows with this share of their tokens changed.",
                )  # fmt: skip
                most = gr.Slider(
                    0, 100, 100, step=0.1, label="Changed, at most %", info="100 for no limit.", min_width=260
                )
            reverted = gr.Checkbox(
                label="Reverted", info="Show the source text, restored from the edit log of this generation."
            )
        moved_notice = gr.HTML(**styled)
        shown = gr.HTML(**styled)
        link = gr.Textbox(label="Link to this row", max_lines=1, interactive=False, buttons=["copy"])
    fragment = gr.Textbox(visible=False)
    place = gr.State(None)
    search = gr.State(None)

    moved = [moved_notice, generation, split, number, shown, fragment, place, search]
    outputs = [notice, panel, figures, generation, split, log_controls, reverted, link, *moved[1:]]
    shared: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "rows", "concurrency_limit": _AT_ONCE}
    wait: dict[str, Any] = {**shared, "show_progress_on": name}
    quick: dict[str, Any] = {**shared, "show_progress_on": shown, "show_progress": "minimal"}
    here = [place, reverted]
    events = [
        gr.on([open_button.click, name.submit], browsing.open, name, outputs, **wait),
        generation.input(browsing.generation, [*here, generation], moved, **quick),
        split.input(browsing.split, [*here, split], moved, **quick),
        gr.on([number.submit, number.blur], browsing.row, [*here, number], moved, **quick),
        reverted.input(browsing.revert, here, moved, **quick),
        previous.click(browsing.previous, [*here, search, least, most], moved, **quick),
        following.click(browsing.following, [*here, search, least, most], moved, **quick),
    ]
    for event in events:
        event.then(None, fragment, link, js=permalink.SET_ADDRESS)
    opened = app.load(browsing.restore, fragment, [name, *outputs], js=_READ_ADDRESS, **wait)
    opened.then(None, fragment, link, js=permalink.TELL_LINK)
