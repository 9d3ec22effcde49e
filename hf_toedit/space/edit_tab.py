"""The tab in which a text is edited and every token shown: its layout, and what happens when something is pressed."""

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
from hf_toedit.space import permalink
from hf_toedit.space.examples import example_texts
from hf_toedit.space.permalink import EditRequest
from hf_toedit.space.priors import Priors
from hf_toedit.space.settings import SpaceSettings
from hf_toedit.space.view import Scene, Superseded, Turns, View, take_view

_AT_ONCE = 4
"""Visitors whose texts are worked on; the others wait. More than a prior can read at once, as one may be fetched."""

_READ_ADDRESS = "(fragment, turns) => [location.hash, turns]"


class _Editing:
    """What the tab does, for any number of visitors at once; nothing of theirs is kept here."""

    def __init__(self, settings: SpaceSettings) -> None:
        self._most = settings.max_characters
        self._priors = Priors(settings)

    def view(self, request: EditRequest) -> View:
        """What a request shows, at once."""
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
        """Answer the button, a slider or a choice; see `_outputs`."""
        try:
            request = EditRequest(text, prior.strip(), threshold, top_k, temperature, seed, generations, preset=preset)
            return _outputs(self._taken(replace(request, shown=generations), turns, progress))
        except Superseded:
            return gr.skip()
        except ToEditError as error:
            return _refused(error)

    def restore(self, fragment: str, turns: Turns, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008
        """Answer a link: its settings, then what `edit` shows of them."""
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
        """What a request shows, unless the visitor asks for something else before it is done."""
        turn = turns.take()

        def told(done: int, total: int) -> None:
            turns.check(turn)
            progress(done / total, desc=f"{done} of {total} readings by the prior")

        progress(0, desc="waiting for the prior")
        return take_view(request, self._priors, self._most, told)

    @staticmethod
    def suggested(view: View | None) -> Any:
        """Answer the button that selects more: the threshold."""
        return gr.skip() if view is None or view.suggested is None else view.suggested

    @staticmethod
    def show(view: View | None, generation: int) -> Any:
        """Answer the choice of a generation: picture, histogram, edited text, fragment of the link, view."""
        if view is None or not 1 <= generation <= len(view.scenes):
            gr.Warning("This page was left alone for too long. Press Edit again.")
            return gr.skip()
        shown = replace(view, request=replace(view.request, shown=generation))
        scene = view.scenes[generation - 1]
        return scene.picture, scene.histogram, _edited(scene, generation), permalink.to_fragment(shown.request), shown


_SETTINGS = ("text", "prior", "threshold", "top_k", "temperature", "seed", "generations", "preset")
_NUM_SETTINGS = len(_SETTINGS)
_NUM_OUTPUTS = 11

_PAPER = [EditConfig.threshold, EditConfig.top_k, EditConfig.temperature, "toedit"]
_WHAT = [("All tokens, as in the paper", "toedit"), ("Careful: words, numbers, names, links, code stay", "careful")]


def _outputs(view: View) -> list[Any]:
    """Values of the components that `edit_tab` calls `outputs`."""
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
    ]


def _refused(error: ToEditError) -> list[Any]:
    """The same values where there is nothing to show but why; what was shown before stays."""
    return [gr.HTML(notice_html(str(error)), visible=True), *[gr.skip()] * (_NUM_OUTPUTS - 1)]


def _suggestion(view: View) -> Any:
    """The button that selects more, where it would."""
    threshold = view.suggested
    if threshold is None or threshold >= view.request.threshold:
        return gr.Button(visible=False)
    return gr.Button(f"Select {SHARE:.0%} of the tokens: threshold {threshold:g}", visible=True)


def _edited(scene: Scene, generation: int) -> Any:
    return gr.Textbox(value=scene.edited, label=_after(generation))


def _after(generation: int) -> str:
    return f"After generation {generation}"


def edit_tab(app: gr.Blocks, settings: SpaceSettings) -> None:
    """Lay out the tab; called inside a `gr.Tab`.

    Args:
        app: tells when a page is opened.
        settings: what visitors may do.
    """
    editing = _Editing(settings)
    examples = example_texts()
    first = EditRequest(next(iter(examples.values())), settings.prior.prior)
    view = editing.view(first)
    with gr.Row():  # beside each other where there is room, so that whoever moves a slider sees what it does
        with gr.Column(scale=4, min_width=340):
            text = gr.Textbox(
                first.text, label="Text", lines=6, max_lines=8, placeholder="Type or paste a text of any kind.",
                info=f"At most {settings.max_characters:,} characters. Or take an example:",
            )  # fmt: skip
            with gr.Row(elem_classes="te-examples"):
                buttons = {name: gr.Button(name, size="sm", min_width=150) for name in examples}
            button = gr.Button("Edit (Ctrl+Enter)", variant="primary", elem_id="te-edit")
            suggestion = gr.Button(visible=False, size="sm")
            notice = gr.HTML(visible=False, js_on_load=None)
            preset = gr.Radio(_WHAT, value=first.preset, label="What may be edited")
            with gr.Group():
                sliders = _sliders(first)
            defaults = gr.Button("The paper's settings", size="sm")
            prior = gr.Textbox(
                first.prior, label="Prior", max_lines=1,
                info=f"The language model that reads the text: {EMBEDDED} (small, and here at once), or org/name of "
                "one on the Hub.",
            )  # fmt: skip
        with gr.Column(scale=7, min_width=340):
            with gr.Column(visible=False) as several:  # a radio alone is not shown again, once its form was hidden
                generation = gr.Radio([1], value=1, label="Generation")
            picture = _fragment(view.scenes[0].picture)
    with gr.Row():
        source = _text(first.text, "Source")
        edited = _text(view.scenes[0].edited, _after(1))
    with gr.Row():
        with gr.Column(min_width=320):
            table = _fragment(view.table)
        with gr.Column(min_width=320):
            histogram = _fragment(view.scenes[0].histogram)
    link = gr.Textbox(
        label="Link to this page as it is", max_lines=1, interactive=False, buttons=["copy"],
        info="Text and settings are in the link itself, behind the #, which browsers do not send to servers.",
    )  # fmt: skip
    fragment = gr.Textbox(permalink.to_fragment(first), visible=False)
    kept = gr.State(None)
    turns = gr.State(Turns())

    inputs = [text, prior, *sliders, preset]
    outputs = [notice, several, generation, picture, histogram, edited, fragment, kept, source, table, suggestion]
    shared: dict[str, Any] = {"show_progress_on": picture, "api_visibility": "private"}
    shared |= {"concurrency_id": "edit", "concurrency_limit": _AT_ONCE, "trigger_mode": "multiple"}
    edits = [gr.on([button.click, prior.submit, preset.input], editing.edit, [*inputs, turns], outputs, **shared)]
    # A key that is held moves a slider many times a second: of what waits, only the last is asked for.
    moved = [slider.release for slider in sliders]
    edits.append(gr.on(moved, editing.edit, [*inputs, turns], outputs, **{**shared, "trigger_mode": "always_last"}))
    for name, pressed in buttons.items():
        taken = pressed.click(None, None, text, js=f"() => {json.dumps(examples[name])}")
        edits.append(taken.then(editing.edit, [*inputs, turns], outputs, **shared))
    threshold, top_k, temperature, *_ = sliders
    asked = suggestion.click(editing.suggested, kept, threshold, api_visibility="private", show_progress="hidden")
    asked_paper = defaults.click(
        None, None, [threshold, top_k, temperature, preset], js=f"() => {json.dumps(_PAPER)}", api_visibility="private"
    )
    edits += [event.then(editing.edit, [*inputs, turns], outputs, **shared) for event in (asked, asked_paper)]
    chosen = [picture, histogram, edited, fragment, kept]
    edits.append(
        generation.input(editing.show, [kept, generation], chosen, api_visibility="private", show_progress="hidden")
    )
    for event in edits:
        event.then(None, fragment, link, js=permalink.SET_ADDRESS)
    opened = app.load(editing.restore, [fragment, turns], [*inputs, *outputs], js=_READ_ADDRESS, **shared)
    opened.then(None, fragment, link, js=permalink.TELL_LINK)


def _fragment(content: str) -> gr.HTML:
    """HTML that has a style of its own."""
    return gr.HTML(content, apply_default_css=False, js_on_load=None)


def _text(content: str, label: str) -> gr.Textbox:
    """A text to read and to copy."""
    return gr.Textbox(
        content, label=label, lines=6, max_lines=12, min_width=320, interactive=False, buttons=["copy"],
        autoscroll=False,
    )  # fmt: skip


def _sliders(first: EditRequest) -> list[gr.Slider]:
    """One a setting, in the order of `_SETTINGS`."""
    return [
        gr.Slider(
            0, 1, first.threshold, step=0.001, label="Threshold",
            info="Tokens with p from here on are drawn again.",
        ),
        gr.Slider(
            1, permalink.MAX_TOP_K, first.top_k, step=1, precision=0, label="Candidates (k)",
            info="They are drawn from the k likeliest.",
        ),
        gr.Slider(
            0.1, permalink.MAX_TEMPERATURE, first.temperature, step=0.1, label="Temperature",
            info=f"Higher draws rarer tokens; hf-toedit's own is {EditConfig.temperature:g}.",
        ),
        gr.Slider(
            0, permalink.MAX_SEED, first.seed, step=1, precision=0, label="Seed",
            info="Each number gives other draws.",
        ),
        gr.Slider(
            1, permalink.MAX_GENERATIONS, first.generations, step=1, precision=0, label="Generations",
            info="How often the text is edited, each time the result before.",
        ),
    ]  # fmt: skip
