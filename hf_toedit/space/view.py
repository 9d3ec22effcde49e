"""What one visitor's edit gives to look at, and whether it is still wanted; no Gradio."""

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
    def of(cls, frame: Frame, stats: EditStats, config: EditConfig, note: str, is_one_of_several: bool) -> Scene:
        """Draw one.

        Args:
            frame: The generation.
            stats: Its counts.
            config: How it was edited.
            note: What else to say of the text, in words.
            is_one_of_several: Whether there are more generations, so that the source is shown as well.
        """
        shown = _told(frame, note) + frame_html(frame, config)
        if is_one_of_several:
            shown += _against_source(frame)
        # Many visitors' last views are kept, of megabytes a generation: packed, they take a twentieth.
        return cls(histogram_html(stats, config), frame.document.text or "", zlib.compress(shown.encode()))

    @property
    def picture(self) -> str:
        """The tokens, under a heading and a summary in words, as HTML.

        Of several generations, an element of class `te-against` follows: the text against the source. The page shows
        one or the other.
        """
        return zlib.decompress(self._packed).decode()


@dataclass(frozen=True)
class View:
    """All that a visitor can look at after an edit; it is theirs alone.

    Attributes:
        request: what was asked for.
        scenes: one a generation.
        table: of all generations, as HTML.
        suggested: A position of the threshold slider that selects at least `SHARE` of the tokens; None where fewer may
            be edited.
    """

    request: EditRequest
    scenes: tuple[Scene, ...]
    table: str
    suggested: float | None

    @classmethod
    def of(cls, request: EditRequest, gallery: Gallery) -> View:
        """Draw a gallery of one text."""
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
            f"it with `hf-toedit edit` on your own machine, without this limit."
        )
    editor = Editor(priors.get(request.prior), request.config)
    if progress:
        progress(0, 2 * request.generations)
    gallery = Gallery.take(editor, [request.text], ["text"], request.generations, progress, MAX_LISTED)
    return View.of(request, gallery)


def _on_slider(threshold: float | None) -> float | None:
    """The next lower position of the threshold slider."""
    if threshold is None:
        return None
    steps = round(1 / THRESHOLD_STEP)
    return math.floor(round(threshold * steps, 6)) / steps


def _told(frame: Frame, note: str) -> str:
    """What happened to a text, in words, and how to learn more."""
    log = frame.document.to_log()
    tokens, selected, changed = log["num_tokens"], log["num_selected"], log["num_changed"]
    if not tokens:
        told = "The prior found nothing to read in this text."
    elif not selected:
        told = f"None of its {tokens:,} tokens was selected. Try a lower threshold."
    else:
        told = f"Of {tokens:,} tokens, {selected:,} {_were(selected)} easy enough to be selected and resampled. "
        kinds = counted_kinds(changed_kinds(frame))
        told += f"{changed:,} of them changed: {kinds}." if changed else "None of them changed."
        if 10 * changed < selected:
            told += " Try a higher temperature."
    return (
        f'<div class="te te-told"><h2>Before and after</h2><p class="te-said">{escaped(told)}</p>'
        f"{note}<p>{HOW_TO_LOOK}</p></div>"
    )


def _suggestion(frame: Frame, suggested: float | None) -> str:
    """How easy the prior found the text that was given, and which threshold would select a share of it, as HTML."""
    known = sorted(token.probability for token in frame.tokens if token.probability is not None)
    if not known:
        return ""
    half, most, nearly_all = (probability(known[int(share * (len(known) - 1))]) for share in (0.5, 0.9, 0.95))
    told = f"Half of the tokens of your text have p up to {half}, 90% up to {most}, and 95% up to {nearly_all}. "
    if suggested is None:
        told += f"Fewer than {SHARE:.0%} of them may be edited."
    else:
        told += f"A threshold of {suggested:g} selects at least {SHARE:.0%} of them."
    return f"<p>{escaped(told)}</p>"


def _against_source(frame: Frame) -> str:
    """The text after a generation against the source, whatever generation made each edit, as HTML."""
    table = frame.document.table
    if table is None or not table.edits:
        told, shown = "Nothing differs from the source.", escaped(frame.document.text or "")
        shown = f'<div class="te te-diff">{shown}</div>'
    else:
        kinds = kinds_of_edits(table)
        places = "1 place differs" if len(kinds) == 1 else f"{len(kinds):,} places differ"
        told = f"{places} from the source: {counted_kinds(Counter(kinds))}."
        shown = diff_html(table, kinds)
    return (
        f'<div class="te te-told te-against"><h2>Source and after generation {frame.generation}</h2>'
        f"<p>{escaped(told)}</p>{shown}</div>"
    )


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
