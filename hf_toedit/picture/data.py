"""Data of a picture: texts over generations, and the probability, rank, candidates and edit of every token.

Editing is left to `Editor`, and nothing is printed.
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
"""Number of candidates to get for each token; its rank is known only among these."""

MIN_LISTED = 8
"""Minimum number of candidates to list for each token, if fewer are sampled from."""


SHARE = 0.05
"""Share of the tokens that a suggested threshold should select."""


@dataclass(frozen=True)
class Token:
    """One token of a text, as the prior read it in one generation, and what happened to it.

    Attributes:
        text: Its characters.
        start: Its first character, in the text that was read.
        probability: Probability under the prior; None if not scored.
        rank: 1 for the prior's likeliest token; None if the token may not be edited, was not scored, or is not one of
            the `NUM_CANDIDATES` likeliest.
        candidates: (text, probability) of the likeliest tokens, likeliest first, for every token that may be edited;
            the text is None for a token that cannot stand alone in a text.
        selected: Whether it was resampled.
        replacement: The text sampled instead, empty if dropped; None if the token is unchanged.
        dropped: Whether it was deleted.
        ineligible: Why the token may not be edited; None if it may.
        rejected: Text that was sampled and then reverted, see `EditConfig.accept`; None if there is none.
        kind: See `TokenView`.
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
    """A span of a text that is shown as one.

    Attributes:
        text: Its characters; all spans together are the whole text.
        tokens: One token; several if they share characters; none if the tokenizer has none for the span.
    """

    text: str
    tokens: tuple[Token, ...]

    @property
    def probability(self) -> float | None:
        """Product of the probabilities of its tokens; None if one has none."""
        known = [token.probability for token in self.tokens if token.probability is not None]
        return prod(known) if known and len(known) == len(self.tokens) else None


@dataclass(frozen=True)
class Frame:
    """One text in one generation.

    Attributes:
        generation: Number of the generation: 1, 2, ….
        document: The edited document.
        tokens: Tokens of the text as this generation read it; empty if it was not read.
    """

    generation: int
    document: EditedDocument
    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """The text as this generation read it; empty if there was none."""
        reading = self.document.reading
        return reading.document.text if reading else self.document.text or ""

    @property
    def changed(self) -> list[Token]:
        """Tokens that were replaced or deleted."""
        return [token for token in self.tokens if token.replacement is not None]

    def pieces(self) -> Iterator[TextSpan]:
        """Yield the spans of the text that was read, from first to last character; empty tokens are left out."""
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
        name: Name for users, such as `row 3`.
        frames: One frame per generation.
    """

    name: str
    frames: tuple[Frame, ...]

    @property
    def source(self) -> str | None:
        """The text before the first generation; None if there was none."""
        table = self.frames[0].document.table
        return table.revert() if table else None

    @property
    def edited(self) -> str | None:
        """The text after the last generation."""
        return self.frames[-1].document.text

    @property
    def skipped(self) -> str | None:
        """Why the text was not read; None if it was read."""
        return self.frames[0].document.skipped


@dataclass(frozen=True)
class Gallery:
    """Texts that were edited together.

    Attributes:
        pictures: One picture per text.
        stats: Counts over all texts, one entry per generation.
        config: How the texts were edited.
        prior: Name of the prior.
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
        """Edit texts as a run does, generation by generation, and record the candidates of each token.

        Args:
            editor: The editor.
            passages: See `Editor.edit`.
            names: Names for users, one per text.
            generations: Number of generations.
            progress: Callback; called with the number of readings by the prior that are done and their total, two per
                generation.
            max_listed: Maximum number of candidates to keep per token; they use most of a gallery's memory.

        Raises:
            PriorError: The prior fails on every text, or runs out of memory.
        """
        # Selecting every token makes the prior return candidates for each; the samples of this reading are discarded.
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
        report_progress = progress or (lambda done, total: None)
        frames: list[list[Frame]] = []
        stats = []
        result: EditResult | None = None
        for generation in range(1, generations + 1):
            seen = reader.edit(result.edited_passages() if result else passages)
            report_progress(2 * generation - 1, 2 * generations)
            result = editor.edit(result or passages)
            report_progress(2 * generation, 2 * generations)
            frames.append(_frames(result, seen, min(_num_listed(editor.config), max_listed)))
            stats.append(result.stats)
        by_text = zip(names, zip(*frames, strict=True), strict=True)
        pictures = tuple(Picture(name, shown) for name, shown in by_text)
        return cls(pictures, tuple(stats), editor.config, editor.prior.name)

    def threshold_selecting(self, share: float) -> float | None:
        """Return a round threshold at which at least a share of all tokens would be selected from above.

        Args:
            share: Share of the tokens of all texts, as the first generation read them; in (0, 1].

        Returns:
            The threshold; None if not enough tokens may be edited.
        """
        tokens = [token for picture in self.pictures for token in picture.frames[0].tokens]
        known = [token.probability for token in tokens if token.probability is not None and not token.ineligible]
        place = math.ceil(share * len(tokens))
        if not 0 < place <= len(known):
            return None
        probability = sorted(known, reverse=True)[place - 1]
        # One digit more than needed to differ from 0 and 1: 0.98765 becomes 0.987, 0.99987 0.9998, and 0.0045 0.0045.
        digits = max(2, math.ceil(-math.log10(max(min(probability, 1 - probability), 1e-6))) + 1)
        return math.floor(probability * 10**digits) / 10**digits


def _num_listed(config: EditConfig) -> int:
    """Return how many candidates to list: all that can be sampled, of the requested ones."""
    return min(max(sampler_of(config).candidates.count, MIN_LISTED), NUM_CANDIDATES)


def _frames(result: EditResult, seen: EditResult, num_listed: int) -> list[Frame]:
    """Return one frame per text.

    Args:
        result: The edits.
        seen: The same texts, with every token selected.
        num_listed: Number of candidates to keep per token.
    """
    frames = []
    for index, document in enumerate(result.documents):
        views = result.tokens(index)
        # A prior may fail on a text in one of the two readings, for example because memory runs out.
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
    """Return, by token position, the rank of the original token among its candidates, from 1."""
    if reading is None:
        return {}
    scores = reading.scores
    is_token = scores.candidate_ids == reading.document.ids[scores.positions][:, None]
    rows, columns = np.nonzero(is_token & np.isfinite(scores.candidate_logprobs))
    return dict(zip(scores.positions[rows].tolist(), (columns + 1).tolist(), strict=True))


def _sharing(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield tokens in the order of the text, grouping those that share characters."""
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
