"""The view of one visitor's edit, and its cancellation. No Gradio."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hf_toedit.config import EditConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.kinds import kinds_of_edits
from hf_toedit.errors import UsageError
from hf_toedit.picture.data import SHARE, Frame, Gallery
from hf_toedit.picture.html import (
    HOW_TO_LOOK,
    MAX_LISTED,
    diff_html,
    escaped,
    frame_html,
    generations_html,
    histogram_html,
)
from hf_toedit.picture.words import changed_kinds, probability
from hf_toedit.place_kinds import counted_kinds
from hf_toedit.priors.names import EMBEDDED, REAL_PRIORS, TOY
from hf_toedit.space.permalink import THRESHOLD_STEP, EditRequest
from hf_toedit.space.priors import Priors
from hf_toedit.stats import EditStats


class Superseded(Exception):
    """The visitor has made another request in the meantime."""


class Turns:
    """A counter of one visitor's requests, so that earlier work can detect that it is superseded."""

    def __init__(self) -> None:
        self._latest = 0

    def take(self) -> int:
        """Begin the next turn; earlier ones are superseded."""
        self._latest += 1
        return self._latest

    def check(self, turn: int) -> None:
        """Check that a turn is the latest one.

        Raises:
            Superseded: A later turn has begun.
        """
        if turn != self._latest:
            raise Superseded


@dataclass(frozen=True)
class Scene:
    """One generation, as it is shown.

    Attributes:
        histogram: Probabilities of the tokens, as HTML.
        edited: The text after this generation.
    """

    histogram: str
    edited: str
    _packed: bytes

    @classmethod
    def of(cls, frame: Frame, stats: EditStats, config: EditConfig, note: str, is_one_of_several: bool) -> Scene:
        """Render a generation.

        Args:
            frame: The generation.
            stats: Its counts.
            config: How it was edited.
            note: Additional remarks on the text.
            is_one_of_several: Whether there are more generations, so that a comparison with the source is added.
        """
        shown = _before_and_after(frame, note) + frame_html(frame, config)
        if is_one_of_several:
            shown += _against_source(frame)
        # The last views of many visitors are kept, with megabytes per generation; compressed, they take a twentieth.
        return cls(histogram_html(stats, config), frame.document.text or "", zlib.compress(shown.encode()))

    @property
    def picture(self) -> str:
        """The tokens, under a heading and a summary, as HTML.

        With several generations, an element of class `te-against` follows: the text compared with the source. The page
        shows one or the other.
        """
        return zlib.decompress(self._packed).decode()


@dataclass(frozen=True)
class View:
    """Everything that a visitor can view after an edit; not shared between visitors.

    Attributes:
        request: The request.
        scenes: One per generation.
        table: Table of all generations, as HTML.
        suggested: Position of the threshold slider that selects at least `SHARE` of the tokens; None if fewer are
            editable.
    """

    request: EditRequest
    scenes: tuple[Scene, ...]
    table: str
    suggested: float | None

    @classmethod
    def of(cls, request: EditRequest, gallery: Gallery) -> View:
        """Build the view of a gallery of one text."""
        (picture,) = gallery.pictures
        suggested = _on_slider(gallery.threshold_selecting(SHARE))
        note = _suggestion(picture.frames[0], suggested)
        if request.prior == EMBEDDED:
            note += f"<p>{escaped(f'{TOY[0].upper()}{TOY[1:]}. Use {REAL_PRIORS}.')}</p>"
        scenes = tuple(
            Scene.of(frame, stats, gallery.config, note, len(picture.frames) > 1)
            for frame, stats in zip(picture.frames, gallery.stats, strict=True)
        )
        return cls(request, scenes, generations_html(gallery.stats), suggested)


def take_view(
    request: EditRequest, priors: Priors, max_characters: int, progress: Callable[[int, int], None] | None = None
) -> View:
    """Edit a text as `hf-toedit edit` does.

    Args:
        request: The request.
        priors: Priors of the server.
        max_characters: Maximum length of the text.
        progress: Callback; called with the finished and the total number of readings by the prior; may raise, to stop.

    Raises:
        ToEditError: The request cannot be fulfilled.
    """
    if not request.text:
        raise UsageError("There is no text. Type or paste one, or take an example.")
    if len(request.text) > max_characters:
        raise UsageError(
            f"The text has {len(request.text):,} characters; here it may have {max_characters:,}. Shorten it, or edit "
            f"it with `hf-toedit edit` on your own machine, without this limit."
        )
    editor = Editor(priors.get(request.prior), request.config)
    if progress:
        progress(0, 2 * request.generations)
    gallery = Gallery.take(editor, [request.text], ["text"], request.generations, progress, MAX_LISTED)
    return View.of(request, gallery)


def _on_slider(threshold: float | None) -> float | None:
    """Return the next lower position of the threshold slider."""
    if threshold is None:
        return None
    steps = round(1 / THRESHOLD_STEP)
    return math.floor(round(threshold * steps, 6)) / steps


def _before_and_after(frame: Frame, note: str) -> str:
    """Describe what happened to a text, and how to learn more."""
    log = frame.document.to_log()
    tokens, selected, changed = log["num_tokens"], log["num_selected"], log["num_changed"]
    if not tokens:
        parts = "The prior found nothing to read in this text."
    elif not selected:
        parts = f"None of its {tokens:,} tokens was selected. Try a lower threshold."
    else:
        parts = f"Of {tokens:,} tokens, {selected:,} {_were(selected)} easy enough to be selected and resampled. "
        kinds = counted_kinds(changed_kinds(frame))
        parts += f"{changed:,} of them changed: {kinds}." if changed else "None of them changed."
        if 10 * changed < selected:
            parts += " Try a higher temperature."
    return (
        f'<div class="te te-told"><h2>Before and after</h2><p class="te-said">{escaped(parts)}</p>'
        f"{note}<p>{HOW_TO_LOOK}</p></div>"
    )


def _suggestion(frame: Frame, suggested: float | None) -> str:
    """Describe how easy the text is for the prior, and which threshold would select a share of it, as HTML."""
    known = sorted(token.probability for token in frame.tokens if token.probability is not None)
    if not known:
        return ""
    half, most, nearly_all = (probability(known[int(share * (len(known) - 1))]) for share in (0.5, 0.9, 0.95))
    parts = f"Half of the tokens of your text have p up to {half}, 90% up to {most}, and 95% up to {nearly_all}. "
    if suggested is None:
        parts += f"Fewer than {SHARE:.0%} of them may be edited."
    else:
        parts += f"A threshold of {suggested:g} selects at least {SHARE:.0%} of them."
    return f"<p>{escaped(parts)}</p>"


def _against_source(frame: Frame) -> str:
    """Return the text after a generation compared with the source, with the edits of all generations, as HTML."""
    table = frame.document.table
    if table is None or not table.edits:
        parts, shown = "Nothing differs from the source.", escaped(frame.document.text or "")
        shown = f'<div class="te te-diff">{shown}</div>'
    else:
        kinds = kinds_of_edits(table)
        places = "1 place differs" if len(kinds) == 1 else f"{len(kinds):,} places differ"
        parts = f"{places} from the source: {counted_kinds(Counter(kinds))}."
        shown = diff_html(table, kinds)
    return (
        f'<div class="te te-told te-against"><h2>Source and after generation {frame.generation}</h2>'
        f"<p>{escaped(parts)}</p>{shown}</div>"
    )


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
