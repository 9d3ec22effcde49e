"""The tab that edits a text and shows every token: its layout and its event handlers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import gradio as gr

from hf_toedit.config import EditConfig
from hf_toedit.errors import ToEditError
from hf_toedit.picture.data import SHARE
from hf_toedit.picture.html import notice_html
from hf_toedit.priors.names import EMBEDDED
from hf_toedit.space import parts, permalink
from hf_toedit.space.examples import example_texts
from hf_toedit.space.permalink import EditRequest
from hf_toedit.space.priors import Priors
from hf_toedit.space.settings import SpaceSettings
from hf_toedit.space.view import Scene, Superseded, Turns, View, take_view

_AT_ONCE = 4
"""Number of requests processed at once; the rest wait. More than a prior can run, because one may be downloading."""

_READ_ADDRESS = "(fragment, turns) => [location.hash, turns]"

_OUT_OF_DATE = "Out of date: the text or a setting has changed since these results were made. Press Edit."

# Results are compared with the current values of the controls: resetting a control makes its results current again.
_MARK = f"""(asked, source, text, prior, ...settings) => {{
    const lines = (text) => (text ?? "").replace(/\\r\\n?/g, "\\n");
    const now = JSON.stringify([(prior ?? "").trim(), ...settings]);
    const isSame = lines(text) === lines(source) && now === JSON.stringify(JSON.parse(asked));
    return isSame ? "" : {json.dumps(notice_html(_OUT_OF_DATE).replace("te-notice", "te-notice te-stale"))};
}}"""


class _Editing:
    """The event handlers of the tab, for concurrent visitors; no visitor's data is kept here."""

    def __init__(self, settings: SpaceSettings) -> None:
        self._most = settings.max_characters
        self._priors = Priors(settings)

    def view(self, request: EditRequest) -> View:
        """Return the view of a request, without progress or cancellation."""
        return take_view(request, self._priors, self._most)

    def edit(
        self,
        text: str,
        prior: str,
        threshold: float,
        top_k: int,
        temperature: float,
        seed: int,
        generations: int,
        preset: str,
        turns: Turns,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """Handle the button, a slider or a choice; see `_outputs`."""
        try:
            request = EditRequest(text, prior.strip(), threshold, top_k, temperature, seed, generations, preset=preset)
            return _outputs(self._taken(replace(request, shown=generations), turns, progress))
        except Superseded:
            return gr.skip()
        except ToEditError as error:
            return _refused(error)

    def restore(self, fragment: str, turns: Turns, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008
        """Handle a link: return its settings, and the outputs of `edit` for them."""
        if not fragment.startswith(permalink.PREFIX):
            return gr.skip()
        try:
            request = permalink.from_fragment(fragment)
        except ToEditError as error:
            return [gr.skip()] * _NUM_SETTINGS + _refused(error)
        settings = [getattr(request, name) for name in _SETTINGS]
        try:
            return settings + _outputs(self._taken(request, turns, progress))
        except Superseded:
            return gr.skip()
        except ToEditError as error:
            return settings + _refused(error)

    def _taken(self, request: EditRequest, turns: Turns, progress: Any) -> View:
        """Return the view of a request, unless the visitor makes another one before it is done."""
        turn = turns.take()

        def report_progress(done: int, total: int) -> None:
            turns.check(turn)
            progress(done / total, desc=f"{done} of {total} readings by the prior")

        progress(0, desc="waiting for the prior")
        return take_view(request, self._priors, self._most, report_progress)

    def suggested(
        self,
        text: str,
        prior: str,
        preset: str,
        view: View | None,
        turns: Turns,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """Handle the button that selects a share of the tokens: return the threshold for the current text."""
        try:
            request = EditRequest(text, prior.strip(), preset=preset)
            asked = view and (view.request.text, view.request.prior, view.request.preset)
            if view is None or asked != (request.text, request.prior, request.preset):
                view = self._taken(request, turns, progress)
        except (Superseded, ToEditError):  # the subsequent edit reports errors
            return gr.skip()
        return gr.skip() if view.suggested is None else view.suggested

    @staticmethod
    def show(view: View | None, generation: int) -> Any:
        """Handle the choice of a generation: return picture, histogram, edited text, link fragment and view."""
        if view is None or not 1 <= generation <= len(view.scenes):
            gr.Warning("This page was idle for too long. Press Edit again.")
            return gr.skip()
        shown = replace(view, request=replace(view.request, shown=generation))
        scene = view.scenes[generation - 1]
        return scene.picture, scene.histogram, _edited(scene, generation), permalink.to_fragment(shown.request), shown


_SETTINGS = ("text", "prior", "threshold", "top_k", "temperature", "seed", "generations", "preset")
_NUM_SETTINGS = len(_SETTINGS)
_NUM_OUTPUTS = 12

_COMPARED = ["The previous generation", "The source"]
"""What a picture is compared with; `space.css` shows one or the other."""

_WHAT = [
    ("All tokens, as in the paper", "toedit"),
    ("Careful: whole words only, and no numbers, dates, names, links or code", "careful"),
]
_STARTING_POINTS = {"hf-toedit's defaults": "toedit", "The paper's settings": "formula"}
"""Presets by the names of the buttons that set the sliders."""


def _outputs(view: View) -> list[Any]:
    """Return the values of the components that `edit_tab` calls `outputs`."""
    request = view.request
    scene = view.scenes[request.shown - 1]
    count = len(view.scenes)
    return [
        gr.HTML("", visible=False),
        gr.Column(visible=count > 1),
        gr.Radio(choices=list(range(1, count + 1)), value=request.shown),
        scene.picture,
        scene.histogram,
        _edited(scene, request.shown),
        permalink.to_fragment(request),
        view,
        request.text,
        view.table,
        _suggestion(view),
        _asked(request),
    ]


def _refused(error: ToEditError) -> list[Any]:
    """Return the same values for an error: only its message is shown, and the previous results stay."""
    return [gr.HTML(notice_html(str(error)), visible=True), *[gr.skip()] * (_NUM_OUTPUTS - 1)]


def _suggestion(view: View) -> str:
    """Return the label of the button that selects a share of the tokens."""
    return f"Select {SHARE:.0%}" + ("" if view.suggested is None else f" (p ≥ {view.suggested:g})")


def _asked(request: EditRequest) -> str:
    """Return the settings of results, for comparison with those of the controls."""
    return json.dumps([getattr(request, name) for name in _SETTINGS[1:]])


def _edited(scene: Scene, generation: int) -> Any:
    return gr.Textbox(value=scene.edited, label=_after(generation))


def _after(generation: int) -> str:
    return f"After generation {generation}"


def edit_tab(app: gr.Blocks, settings: SpaceSettings) -> None:
    """Build the tab; called inside a `gr.Tab`.

    Args:
        app: Reports page loads.
        settings: What visitors may do.
    """
    editing = _Editing(settings)
    examples = example_texts()
    first = EditRequest(next(iter(examples.values())), settings.prior.prior)
    view = editing.view(first)
    with gr.Row():  # side by side where there is room, so that the effect of a slider is visible
        with gr.Column(scale=4, min_width=340):
            text = gr.Textbox(
                first.text, label="Text", lines=6, max_lines=8, placeholder="Type or paste a text of any kind.",
                info=f"At most {settings.max_characters:,} characters. Or take an example:",
            )  # fmt: skip
            with gr.Row(elem_classes="te-examples"):
                buttons = {name: gr.Button(name, size="sm", min_width=150) for name in examples}
            with gr.Row():
                button = gr.Button("Edit (Ctrl+Enter)", variant="primary", elem_id="te-edit", min_width=160)
                suggestion = gr.Button(_suggestion(view), elem_id="te-share", elem_classes="te-runs", min_width=160)
            notice = gr.HTML(visible=False, elem_id="te-refused", js_on_load=None)
            preset = gr.Radio(_WHAT, value=first.preset, label="What may be edited", elem_id="te-preset")
            with gr.Row(elem_classes="te-examples"):
                starts = {
                    name: gr.Button(name, size="sm", elem_classes="te-runs", min_width=150) for name in _STARTING_POINTS
                }
            with gr.Group():
                sliders = parts.sliders(first)
            prior = gr.Textbox(
                first.prior, label="Prior", max_lines=1,
                info=f"The language model that reads the text: {EMBEDDED} (small, and here at once), or org/name of "
                "one on the Hub.",
            )  # fmt: skip
        with gr.Column(scale=7, min_width=340, elem_id="te-results"):
            stale = parts.fragment("")
            with gr.Column(visible=False) as several:  # Gradio does not show a radio again once its form was hidden
                generation = gr.Radio([1], value=1, label="Generation")
                gr.Radio(_COMPARED, value=_COMPARED[0], label="Compared with", elem_id="te-compared", interactive=True)
            picture = parts.fragment(view.scenes[0].picture)
    with gr.Row(elem_classes="te-result"):
        source = parts.text(first.text, "Source")
        edited = parts.text(view.scenes[0].edited, _after(1))
    with gr.Row(elem_classes="te-result"):
        with gr.Column(min_width=320):
            table = parts.fragment(view.table)
        with gr.Column(min_width=320):
            histogram = parts.fragment(view.scenes[0].histogram)
    link = gr.Textbox(
        label="Link to this page as it is", max_lines=1, interactive=False, buttons=["copy"],
        info="Text and settings are in the link itself, behind the #, which browsers do not send to servers.",
    )  # fmt: skip
    fragment = gr.Textbox(permalink.to_fragment(first), visible=False)
    asked = gr.Textbox(_asked(first), visible=False)
    kept = gr.State(None)
    turns = gr.State(Turns())

    inputs = [text, prior, *sliders, preset]
    outputs = [
        notice,
        several,
        generation,
        picture,
        histogram,
        edited,
        fragment,
        kept,
        source,
        table,
        suggestion,
        asked,
    ]
    shared: dict[str, Any] = {"show_progress_on": picture, "api_visibility": "private"}
    shared |= {"concurrency_id": "edit", "concurrency_limit": _AT_ONCE, "trigger_mode": "multiple"}
    edits = [gr.on([button.click, prior.submit, preset.input], editing.edit, [*inputs, turns], outputs, **shared)]
    # A held key moves a slider many times per second: of the waiting events, only the last one is processed.
    moved = [slider.release for slider in sliders]
    edits.append(gr.on(moved, editing.edit, [*inputs, turns], outputs, **{**shared, "trigger_mode": "always_last"}))
    for name, pressed in buttons.items():
        taken = pressed.click(None, None, text, js=f"() => {json.dumps(examples[name])}")
        edits.append(taken.then(editing.edit, [*inputs, turns], outputs, **shared))
    threshold, top_k, temperature, *_ = sliders
    moves = [suggestion.click(editing.suggested, [text, prior, preset, kept, turns], threshold, **shared)]
    for name, pressed in starts.items():
        start = EditConfig.from_preset(_STARTING_POINTS[name])
        values = [start.threshold, start.top_k, start.temperature, "toedit"]
        moves.append(
            pressed.click(None, None, [threshold, top_k, temperature, preset], js=f"() => {json.dumps(values)}")
        )
    edits += [event.then(editing.edit, [*inputs, turns], outputs, **shared) for event in moves]
    chosen = [picture, histogram, edited, fragment, kept]
    edits.append(
        generation.input(editing.show, [kept, generation], chosen, api_visibility="private", show_progress="hidden")
    )
    mark: dict[str, Any] = {"inputs": [asked, source, *inputs], "outputs": stale, "js": _MARK}
    gr.on([each.change for each in inputs], None, **mark)
    for event in edits:
        event.then(None, fragment, link, js=permalink.SET_ADDRESS).then(None, **mark)
    opened = app.load(editing.restore, [fragment, turns], [*inputs, *outputs], js=_READ_ADDRESS, **shared)
    opened.then(None, fragment, link, js=permalink.TELL_LINK).then(None, **mark)
