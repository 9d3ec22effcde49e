"""What a picture shows: texts over generations, and every token's probability, rank, candidates and fate.

Nothing is edited here in another way than `Editor` does, and nothing is printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numpy as np

from hf_toedit.config import EditConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.result import EditedDocument, EditResult, ScoredDocument
from hf_toedit.editing.samplers import sampler_of
from hf_toedit.stats import EditStats

NUM_CANDIDATES = 50
"""Candidates that are looked at for each token; its rank is known among these."""

MIN_LISTED = 8
"""Candidates that are listed for each token, where fewer are drawn from."""


SHARE = 0.05
"""Of the tokens, to be selected, where a threshold is suggested."""


@dataclass(frozen=True)
class Token:
    """One token of a text, as the prior read it in one generation, and what became of it.

    Attributes:
        text: its characters.
        start: first of them, in the text that was read.
        probability: under the prior; None where not scored.
        rank: 1 for the prior's likeliest token; None where the token may not be edited, was not scored, or is none of
            the `NUM_CANDIDATES` likeliest.
        candidates: (text, probability) of the likeliest tokens, likeliest first, of every token that may be edited;
            None for one that cannot stand alone in a text.
        selected: drawn again.
        replacement: the text drawn instead, empty where dropped; None where the old one stands.
        dropped: deleted.
        ineligible: why the token may not be edited; None where it may.
        rejected: the text that was drawn and put back, see `EditConfig.accept`; None where nothing was.
        kind: see `TokenView`.
    """

    text: str
    start: int
    probability: float | None
    rank: int | None
    candidates: tuple[tuple[str | None, float], ...]
    selected: bool
    replacement: str | None
    dropped: bool
    ineligible: str | None
    kind: str | None = None
    rejected: str | None = None

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)


class TextSpan(NamedTuple):
    """A stretch of a text that is shown as one.

    Attributes:
        text: its characters; those of all pieces are the whole text.
        tokens: one; several where they share characters; none where the tokenizer has none for them.
    """

    text: str
    tokens: tuple[Token, ...]

    @property
    def probability(self) -> float | None:
        """Of all its tokens, one after the other; None where one has none."""
        known = [token.probability for token in self.tokens if token.probability is not None]
        return prod(known) if known and len(known) == len(self.tokens) else None


@dataclass(frozen=True)
class Frame:
    """One text in one generation.

    Attributes:
        generation: 1, 2, ….
        document: what became of the text.
        tokens: of the text as this generation read it; none where it was not read.
    """

    generation: int
    document: EditedDocument
    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """The text as this generation read it; empty where there was none."""
        reading = self.document.reading
        return reading.document.text if reading else self.document.text or ""

    @property
    def changed(self) -> list[Token]:
        """Tokens that became other text, or none."""
        return [token for token in self.tokens if token.replacement is not None]

    def pieces(self) -> Iterator[TextSpan]:
        """The text that was read, from its first character to its last; tokens without characters are left out."""
        at = 0
        for group in _sharing(self.tokens):
            start, end = group[0].start, max(token.end for token in group)
            if start > at:
                yield TextSpan(self.text[at:start], ())
            yield TextSpan(self.text[start:end], tuple(group))
            at = end
        if at < len(self.text):
            yield TextSpan(self.text[at:], ())


@dataclass(frozen=True)
class Picture:
    """One text over the generations.

    Attributes:
        name: for people, such as `row 3`.
        frames: one a generation.
    """

    name: str
    frames: tuple[Frame, ...]

    @property
    def source(self) -> str | None:
        """The text before the first generation; None where there was none."""
        table = self.frames[0].document.table
        return table.revert() if table else None

    @property
    def edited(self) -> str | None:
        """The text after the last."""
        return self.frames[-1].document.text

    @property
    def skipped(self) -> str | None:
        """Why the text was passed through unread; None where it was read."""
        return self.frames[0].document.skipped


@dataclass(frozen=True)
class Gallery:
    """Texts that were edited together.

    Attributes:
        pictures: one a text.
        stats: counts over all of them, one a generation.
        config: how they were edited.
        prior: name of the prior.
    """

    pictures: tuple[Picture, ...]
    stats: tuple[EditStats, ...]
    config: EditConfig
    prior: str

    @classmethod
    def take(
        cls,
        editor: Editor,
        passages: Sequence[str | Passage | None],
        names: Sequence[str],
        generations: int = 1,
        progress: Callable[[int, int], None] | None = None,
        max_listed: int = NUM_CANDIDATES,
    ) -> Gallery:
        """Edit texts as a run does, generation after generation, and find out what there was to choose from.

        Args:
            editor: edits.
            passages: see `Editor.edit`.
            names: one a text, for people.
            generations: how often they are edited.
            progress: called with the readings by the prior that are done and those there are in all, two a generation.
            max_listed: candidates to keep of each token at most; they are most of what a gallery takes of memory.

        Raises:
            PriorError: the prior fails on every text, or runs out of memory.
        """
        # Selecting every token makes the prior tell the candidates of each; what is drawn of them is thrown away.
        every_token = replace(
            editor.config,
            select="below",
            threshold=1.0,
            sampler="top-k",
            top_k=NUM_CANDIDATES,
            temperature=1.0,
            exclude_original=False,
            drop_below=None,
            accept=None,
        )
        reader = Editor(editor.prior, every_token)
        told = progress or (lambda done, total: None)
        frames: list[list[Frame]] = []
        stats = []
        result: EditResult | None = None
        for generation in range(1, generations + 1):
            seen = reader.edit(result.edited_passages() if result else passages)
            told(2 * generation - 1, 2 * generations)
            result = editor.edit(result or passages)
            told(2 * generation, 2 * generations)
            frames.append(_frames(result, seen, min(_num_listed(editor.config), max_listed)))
            stats.append(result.stats)
        by_text = zip(names, zip(*frames, strict=True), strict=True)
        pictures = tuple(Picture(name, shown) for name, shown in by_text)
        return cls(pictures, tuple(stats), editor.config, editor.prior.name)

    def threshold_selecting(self, share: float) -> float | None:
        """A round threshold at which at least a share of all tokens would be selected from above.

        Args:
            share: of the tokens of all texts, as the first generation read them; in (0, 1].

        Returns:
            None where not so many tokens may be edited.
        """
        tokens = [token for picture in self.pictures for token in picture.frames[0].tokens]
        known = [token.probability for token in tokens if token.probability is not None and not token.ineligible]
        place = math.ceil(share * len(tokens))
        if not 0 < place <= len(known):
            return None
        probability = sorted(known, reverse=True)[place - 1]
        # A digit more than tells it from 0 and 1, so that 0.98765 is 0.987, 0.99987 is 0.9998, and 0.0045 is 0.0045.
        digits = max(2, math.ceil(-math.log10(max(min(probability, 1 - probability), 1e-6))) + 1)
        return math.floor(probability * 10**digits) / 10**digits


def _num_listed(config: EditConfig) -> int:
    """How many candidates are listed: all that can be drawn, of those looked at."""
    return min(max(sampler_of(config).candidates.count, MIN_LISTED), NUM_CANDIDATES)


def _frames(result: EditResult, seen: EditResult, num_listed: int) -> list[Frame]:
    """One a text.

    Args:
        result: what was done.
        seen: the same texts, every token of them selected.
        num_listed: candidates to keep of each token.
    """
    frames = []
    for index, document in enumerate(result.documents):
        views = result.tokens(index)
        # A prior may fail on a text in one of the two readings, such as for want of memory.
        others = seen.tokens(index) or views
        ranks = _ranks(seen.documents[index].reading)
        tokens = tuple(
            Token(
                text=view.text,
                start=view.start,
                probability=other.probability if view.probability is None else view.probability,  # it may be pruned
                rank=ranks.get(position),
                candidates=other.candidates[:num_listed],
                selected=view.selected,
                replacement=view.replacement,
                rejected=view.rejected,
                dropped=view.dropped,
                ineligible=view.ineligible,
                kind=view.kind,
            )
            for position, (view, other) in enumerate(zip(views, others if views else (), strict=True))
        )
        frames.append(Frame(result.generation, document, tokens))
    return frames


def _ranks(reading: ScoredDocument | None) -> dict[int, int]:
    """Token position to the place of the token that stands there among its candidates, from 1."""
    if reading is None:
        return {}
    scores = reading.scores
    is_token = scores.candidate_ids == reading.document.ids[scores.positions][:, None]
    rows, columns = np.nonzero(is_token & np.isfinite(scores.candidate_logprobs))
    return dict(zip(scores.positions[rows].tolist(), (columns + 1).tolist(), strict=True))


def _sharing(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Tokens in the order of the text, those that share characters together."""
    group: list[Token] = []
    reached = 0
    for token in sorted(tokens, key=lambda token: token.start):
        if not token.text:
            continue
        if group and token.start >= reached:
            yield group
            group = []
        group.append(token)
        reached = max(reached, token.end)
    if group:
        yield group
