"""What one visitor's edit gives to look at, and whether it is still wanted; no Gradio."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from hf_toedit.config import EditConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.errors import UsageError
from hf_toedit.picture.data import SHARE, Frame, Gallery
from hf_toedit.picture.html import HOW_TO_LOOK, MAX_LISTED, escaped, frame_html, generations_html, histogram_html
from hf_toedit.picture.words import changed_kinds, probability
from hf_toedit.place_kinds import counted_kinds
from hf_toedit.space.permalink import EditRequest
from hf_toedit.space.priors import Priors
from hf_toedit.stats import EditStats


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
        histogram: the probabilities of the tokens, as HTML.
        edited: the text after this generation.
    """

    histogram: str
    edited: str
    _packed: bytes

    @classmethod
    def of(cls, frame: Frame, stats: EditStats, config: EditConfig) -> Scene:
        """Draw one."""
        # Many visitors' last views are kept, of megabytes a generation: packed, they take a twentieth.
        packed = zlib.compress((_told(frame) + frame_html(frame, config)).encode())
        return cls(histogram_html(stats, config), frame.document.text or "", packed)

    @property
    def picture(self) -> str:
        """The tokens, under a heading and what came of them in words, as HTML."""
        return zlib.decompress(self._packed).decode()


@dataclass(frozen=True)
class View:
    """All that a visitor can look at after an edit; it is theirs alone.

    Attributes:
        request: what was asked for.
        scenes: one a generation.
        table: of all generations, as HTML.
        suggested: a threshold at which about `SHARE` of the tokens would be selected; None where there is none.
    """

    request: EditRequest
    scenes: tuple[Scene, ...]
    table: str
    suggested: float | None

    @classmethod
    def of(cls, request: EditRequest, gallery: Gallery) -> View:
        """Draw a gallery of one text."""
        (picture,) = gallery.pictures
        scenes = tuple(
            Scene.of(frame, stats, gallery.config) for frame, stats in zip(picture.frames, gallery.stats, strict=True)
        )
        return cls(request, scenes, generations_html(gallery.stats), gallery.threshold_selecting(SHARE))


def take_view(
    request: EditRequest, priors: Priors, max_characters: int, progress: Callable[[int, int], None] | None = None
) -> View:
    """Edit a text as `hf-toedit edit` does.

    Args:
        request: what is asked for.
        priors: of the server.
        max_characters: of the text.
        progress: called with the readings by the prior that are done and those there are in all; may raise, to stop.

    Raises:
        ToEditError: the request cannot be met.
    """
    if not request.text:
        raise UsageError("There is no text. Type or paste one, or take an example.")
    if len(request.text) > max_characters:
        raise UsageError(
            f"The text has {len(request.text):,} characters; here it may have {max_characters:,}. Shorten it, or edit "
            f"it with `hf-toedit edit` on a machine of your own, where no text is too long."
        )
    editor = Editor(priors.get(request.prior), request.config)
    if progress:
        progress(0, 2 * request.generations)
    gallery = Gallery.take(editor, [request.text], ["text"], request.generations, progress, MAX_LISTED)
    return View.of(request, gallery)


def _told(frame: Frame) -> str:
    """What came of a text, in words, and how to learn more."""
    log = frame.document.to_log()
    tokens, selected, changed = log["num_tokens"], log["num_selected"], log["num_changed"]
    if not tokens:
        told = "The prior found nothing to read in this text."
    elif not selected:
        told = f"None of its {tokens:,} tokens was selected. {_quantiles(frame)} Try a lower threshold."
    else:
        told = f"Of {tokens:,} tokens, {selected:,} {_were(selected)} easy enough to be selected and drawn again. "
        kinds = counted_kinds(changed_kinds(frame))
        told += f"{changed:,} of them came out different: {kinds}." if changed else "None of them came out different."
        if 10 * changed < selected:
            told += " Try a higher temperature."
        told += f" {_quantiles(frame)}"
    return (
        f'<div class="te te-told"><h2>Before and after</h2><p class="te-said">{escaped(told)}</p>'
        f"<p>{HOW_TO_LOOK}</p></div>"
    )


def _quantiles(frame: Frame) -> str:
    """How easy the prior found the text."""
    known = sorted(token.probability for token in frame.tokens if token.probability is not None)
    if not known:
        return ""
    half, most, nearly_all = (probability(known[int(share * (len(known) - 1))]) for share in (0.5, 0.9, 0.95))
    return f"Half of its tokens have p up to {half}, 90 % up to {most}, and 95 % up to {nearly_all}."


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
