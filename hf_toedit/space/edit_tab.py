"""The tab in which a text is edited and every token shown: its layout, and what happens when something is pressed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from hf_toedit.editing.editor import ToEditor
from hf_toedit.errors import ToEditError, UsageError
from hf_toedit.picture.data import Gallery
from hf_toedit.picture.html import frame_html, generations_html, histogram_html, notice_html
from hf_toedit.space import examples, permalink
from hf_toedit.space.permalink import Request
from hf_toedit.space.priors import EMBEDDED, Priors
from hf_toedit.space.settings import SpaceSettings

_AT_ONCE = 4
"""Visitors whose texts are worked on; the others wait. More than a prior can read at once, as one may be fetched."""

_READ_ADDRESS = "(fragment, turns) => [location.hash, turns]"
_TELL_LINK = "(fragment) => fragment && location.origin + location.pathname + fragment"
# The query of the address is left out: on a private Space it holds a key.
_SET_ADDRESS = """(fragment) => {
    history.replaceState(null, "", fragment || location.pathname + location.search);
    if (parent !== window) parent.postMessage({ hash: fragment }, "https://huggingface.co");
    return fragment && location.origin + location.pathname + fragment;
}"""


class Superseded(Exception):
    """A visitor has asked for something else in the meantime."""


class Turns:
    """Counts what one visitor asked for, so that earlier work can tell that it is no longer wanted."""

    def __init__(self) -> None:
        self._latest = 0

    def take(self) -> int:
        """Begin the next one; those before are over."""
        self._latest += 1
        return self._latest

    def check(self, turn: int) -> None:
        """Go on with one.

        Raises:
            Superseded: a later one has begun.
        """
        if turn != self._latest:
            raise Superseded


@dataclass(frozen=True)
class Scene:
    """One generation, as it is shown.

    Attributes:
        picture: the tokens, as HTML.
        histogram: their probabilities, as HTML.
        edited: the text after this generation.
    """

    picture: str
    histogram: str
    edited: str


@dataclass(frozen=True)
class View:
    """All that a visitor can look at after an edit; it is theirs alone.

    Attributes:
        request: what was asked for.
        scenes: one a generation.
        table: of all generations, as HTML.
    """

    request: Request
    scenes: tuple[Scene, ...]
    table: str

    @classmethod
    def of(cls, request: Request, gallery: Gallery) -> View:
        """Draw a gallery of one text."""
        (picture,) = gallery.pictures
        scenes = tuple(
            Scene(
                frame_html(frame, gallery.config), histogram_html(stats, gallery.config), frame.document.text or ""
            )
            for frame, stats in zip(picture.frames, gallery.stats, strict=True)
        )
        return cls(request, scenes, generations_html(gallery.stats))


class Editing:
    """What the tab does, for any number of visitors at once; nothing of theirs is kept here."""

    def __init__(self, settings: SpaceSettings) -> None:
        """Load the prior that is offered first.

        Args:
            settings: what visitors may do.
        """
        self.settings = settings
        self._priors = Priors(settings)

    def view(self, request: Request, turns: Turns | None = None, progress: Any = None) -> View:
        """Edit a text as `hf-toedit edit` does.

        Args:
            request: what is asked for.
            turns: of the visitor.
            progress: of Gradio.

        Raises:
            ToEditError: the request cannot be met.
            Superseded: the visitor has asked for something else.
        """
        if not request.text:
            raise UsageError("There is no text. Type or paste one, or take an example.")
        length, most = len(request.text), self.settings.max_characters
        if length > most:
            raise UsageError(
                f"The text has {length:,} characters; here it may have {most:,}. Shorten it, or edit it with "
                f"`hf-toedit edit` on a machine of your own, where no text is too long."
            )
        turn = turns.take() if turns else 0

        def told(done: int, total: int) -> None:
            if turns:
                turns.check(turn)
            if progress:
                progress(done / total, desc=f"{done} of {total} readings by the prior")

        if progress:
            progress(0, desc="The prior reads the text")
        editor = ToEditor(self._priors.get(request.prior), request.config)
        told(0, 2 * request.generations)
        return View.of(request, Gallery.take(editor, [request.text], ["text"], request.generations, told))

    def edit(
        self,
        text: str,
        prior: str,
        threshold: float,
        top_k: int,
        temperature: float,
        seed: int,
        generations: int,
        turns: Turns,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Any:
        """Answer the button, or a slider; see `_outputs`."""
        try:
            request = Request(text, prior.strip(), threshold, top_k, temperature, seed, generations)
            return _outputs(self.view(replace(request, shown=generations), turns, progress))
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
            return settings + _outputs(self.view(request, turns, progress))
        except Superseded:
            return gr.skip()
        except ToEditError as error:
            return settings + _refused(error)

    @staticmethod
    def show(view: View | None, generation: int) -> Any:
        """Answer the choice of a generation: picture, histogram, edited text, fragment of the link, view."""
        if view is None or not 1 <= generation <= len(view.scenes):
            gr.Warning("This page was left alone for too long. Press Edit again.")
            return gr.skip()
        shown = replace(view, request=replace(view.request, shown=generation))
        scene = view.scenes[generation - 1]
        return scene.picture, scene.histogram, _edited(scene, generation), permalink.to_fragment(shown.request), shown


_SETTINGS = ("text", "prior", "threshold", "top_k", "temperature", "seed", "generations")
_NUM_SETTINGS = len(_SETTINGS)
_NUM_OUTPUTS = 9


def _outputs(view: View) -> list[Any]:
    """Values of notice, results, generation, picture, histogram, edited text, fragment, view, source, table."""
    request = view.request
    scene = view.scenes[request.shown - 1]
    count = len(view.scenes)
    return [
        "",
        gr.Radio(choices=list(range(1, count + 1)), value=request.shown, visible=count > 1),
        scene.picture,
        scene.histogram,
        _edited(scene, request.shown),
        permalink.to_fragment(request),
        view,
        request.text,
        view.table,
    ]


def _refused(error: ToEditError) -> list[Any]:
    """The same values where there is nothing to show but why; what was shown before stays."""
    return [notice_html(str(error)), *[gr.skip()] * (_NUM_OUTPUTS - 1)]


def _edited(scene: Scene, generation: int) -> Any:
    return gr.Textbox(value=scene.edited, label=f"After generation {generation}")


def edit_tab(app: gr.Blocks, settings: SpaceSettings) -> None:
    """Lay out the tab; called inside a `gr.Tab`.

    Args:
        app: tells when a page is opened.
        settings: what visitors may do.
    """
    editing = Editing(settings)
    first = Request(examples.EXAMPLES[0].text, settings.prior.prior)
    view = editing.view(first)
    notice = gr.HTML(js_on_load=None)
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            text = gr.Textbox(
                first.text, label="Text", lines=9, max_lines=9, placeholder="Type or paste a text of any kind.",
                info=f"At most {settings.max_characters:,} characters.",
            )  # fmt: skip
            with gr.Row(elem_classes="te-examples"):
                buttons = [(gr.Button(example.name, size="sm"), example) for example in examples.EXAMPLES]
        with gr.Column(scale=2, min_width=300):
            prior = gr.Textbox(
                first.prior, label="Prior", max_lines=1,
                info=f"The language model that reads the text: {EMBEDDED}, or a model of the Hub (org/name).",
            )  # fmt: skip
            sliders = _sliders(first)
            button = gr.Button("Edit", variant="primary")
    values = _outputs(view)
    generation = gr.Radio([1], value=1, label="Generation", visible=False)
    picture = gr.HTML(view.scenes[0].picture, js_on_load=None, elem_classes="te-picture")
    with gr.Row():
        source = gr.Textbox(first.text, label="Source", lines=6, max_lines=12, interactive=False, buttons=["copy"])
        edited = gr.Textbox(
            view.scenes[0].edited, label="After generation 1", lines=6, max_lines=12, interactive=False,
            buttons=["copy"],
        )  # fmt: skip
    with gr.Row():
        table = gr.HTML(view.table, js_on_load=None)
        histogram = gr.HTML(view.scenes[0].histogram, js_on_load=None)
    link = gr.Textbox(
        label="Link to this page as it is", max_lines=1, interactive=False, buttons=["copy"],
        info="Text and settings are in the link itself, behind the #, which browsers do not send to servers.",
    )  # fmt: skip
    fragment = gr.Textbox(values[5], visible=False)
    kept = gr.State(None)
    turns = gr.State(Turns())

    inputs = [text, prior, *sliders]
    outputs = [notice, generation, picture, histogram, edited, fragment, kept, source, table]
    shared: dict[str, Any] = {"show_progress_on": picture, "api_visibility": "private"}
    shared |= {"concurrency_id": "edit", "concurrency_limit": _AT_ONCE, "trigger_mode": "multiple"}
    asked = [button.click, prior.submit, *(slider.release for slider in sliders)]
    edits = [gr.on(asked, editing.edit, [*inputs, turns], outputs, **shared)]
    for pressed, example in buttons:
        taken = pressed.click(None, None, text, js=f"() => {json.dumps(example.text)}")
        edits.append(taken.then(editing.edit, [*inputs, turns], outputs, **shared))
    chosen = [picture, histogram, edited, fragment, kept]
    edits.append(
        generation.input(editing.show, [kept, generation], chosen, api_visibility="private", show_progress="hidden")
    )
    for event in edits:
        event.then(None, fragment, link, js=_SET_ADDRESS)
    opened = app.load(editing.restore, [fragment, turns], [*inputs, *outputs], js=_READ_ADDRESS, **shared)
    opened.then(None, fragment, link, js=_TELL_LINK)


def _sliders(first: Request) -> list[gr.Slider]:
    """Threshold, candidates, temperature, seed, generations."""
    return [
        gr.Slider(0, 1, first.threshold, step=0.001, label="Threshold", info="Tokens at least this likely are drawn again."),
        gr.Slider(
            1, permalink.MAX_TOP_K, first.top_k, step=1, precision=0, label="Candidates (k)",
            info="How many of the likeliest tokens a draw is from.",
        ),
        gr.Slider(
            0.1, permalink.MAX_TEMPERATURE, first.temperature, step=0.1, label="Temperature",
            info="Higher draws less likely candidates more often; 1 is the paper's formula.",
        ),
        gr.Slider(0, permalink.MAX_SEED, first.seed, step=1, precision=0, label="Seed", info="Another one, other draws."),
        gr.Slider(
            1, permalink.MAX_GENERATIONS, first.generations, step=1, precision=0, label="Generations",
            info="How often the result is edited again.",
        ),
    ]  # fmt: skip
