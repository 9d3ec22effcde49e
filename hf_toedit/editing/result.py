"""The result of an editor: edited documents, what happened to every token, and how to revert."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from hf_toedit.config import EditConfig
from hf_toedit.display import Shown
from hf_toedit.editing.alignment import CAUSES, Aligner, Document
from hf_toedit.editing.kinds import kinds_of
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.piece_table import Edit, PieceTable, Replacement
from hf_toedit.editing.prior import DocumentScores
from hf_toedit.stats import EditStats

COUNTS = ("num_tokens", "num_selected", "num_changed", "num_dropped")
"""Fields of the edit log that are sums over the texts of a row."""


VERIFIED_COUNTS = (*COUNTS, "num_rejected")
"""The same fields if edits are verified."""


def log_counts(config: EditConfig) -> tuple[str, ...]:
    """Return the summed fields of the edit log for a configuration."""
    return COUNTS if config.accept is None else VERIFIED_COUNTS


@dataclass(frozen=True)
class TokenView:
    """One token of a document and what happened to it.

    Attributes:
        text: Its characters in the text that the prior read.
        start: Its first character.
        end: One past its last character.
        probability: Probability under the prior; None if not scored, or pruned.
        selected: Whether it was resampled.
        dropped: Whether it was deleted.
        replacement: The text sampled instead; None if the token is unchanged.
        candidates: (text, probability) of the prior's likeliest tokens if selected; the text is None for a token that
            cannot stand alone in a text.
        ineligible: Why the token may not be edited; None if it may.
        rejected: Text that was sampled and then reverted by `EditConfig.accept`; None if there is none.
        kind: One of `place_kinds.KINDS`; None if the token is neither selected nor dropped.
    """

    text: str
    start: int
    end: int
    probability: float | None
    selected: bool
    dropped: bool
    replacement: str | None
    candidates: tuple[tuple[str | None, float], ...]
    ineligible: str | None
    rejected: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class EditedDocument:
    """One text after one generation. Documents are equal if their texts and edits are.

    Attributes:
        table: The current text, and its differences from the source; None if the row had no text.
        skipped: Why the text was not read; None if it was read.
        reading: The document as the prior read it, its scores, and the replacements made.
    """

    table: PieceTable | None
    skipped: str | None = None
    reading: ScoredDocument | None = field(default=None, compare=False)

    @property
    def text(self) -> str | None:
        """The current text."""
        return self.table.text if self.table else None

    @property
    def changed(self) -> bool:
        """Whether this generation changed the text."""
        return self.reading is not None and bool(self.reading.changed or len(self.reading.dropped))

    def to_log(self, counts: Sequence[str] = COUNTS) -> dict[str, Any]:
        """Return the struct for an output row, in the column `toedit` by default.

        Args:
            counts: See `log_counts`.
        """
        reading = self.reading
        return {
            **{name: getattr(reading, name) if reading else 0 for name in counts},
            "nll": reading.nll if reading else None,
            "edits": self.table.to_log() if self.table else [],
        }


class TokenEdit(NamedTuple):
    """The edit of one token.

    Attributes:
        position: Position of the token.
        token: The new token; None if it was deleted.
        text: Text of the new token.
    """

    position: int
    token: int | None
    text: str


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class ScoredDocument:
    """A document, its scores, and its edits.

    Attributes:
        document: Tokens and their characters.
        scores: Scores from the prior.
        drawn: int64 `[m]`, the token sampled at each of `scores.positions`; -1 if there is none, or it was reverted.
        changed: Token position to the text that replaced it.
        dropped: int64, positions of deleted tokens, ascending.
        rejected: Token position to the text that was sampled there and reverted; see `editing/acceptance.py`.
    """

    document: Document
    scores: DocumentScores
    drawn: np.ndarray
    changed: dict[int, str]
    dropped: np.ndarray
    rejected: dict[int, str] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """Number of tokens of the text that was read."""
        return len(self.document)

    @property
    def num_selected(self) -> int:
        """Number of these tokens that were resampled."""
        return len(self.scores.positions)

    @property
    def num_changed(self) -> int:
        """Number of resampled tokens that were replaced with other text."""
        return len(self.changed)

    @property
    def num_dropped(self) -> int:
        """Number of tokens deleted."""
        return len(self.dropped)

    @property
    def num_rejected(self) -> int:
        """Number of selected tokens whose sampled replacement was reverted."""
        return len(self.rejected)

    @property
    def num_scored(self) -> int:
        """Number of tokens with a probability; with pruning, of those in the sample."""
        return int((~np.isnan(self.scores.counted)).sum())

    @property
    def nll(self) -> float | None:
        """Mean negative log-likelihood of the scored tokens, nats; None if there are none."""
        scored = self.scores.counted[~np.isnan(self.scores.counted)]
        return -float(scored.mean(dtype=np.float64)) if len(scored) else None

    @cached_property
    def drawn_logprobs(self) -> np.ndarray:
        """float32 `[m]`: log-probability of the token at each selected position after sampling."""
        hit = self.scores.candidate_ids == self.drawn[:, None]
        drawn = np.where(hit, self.scores.candidate_logprobs, -np.inf).max(axis=1, initial=-np.inf)
        return np.where(self.drawn < 0, self.scores.logprobs[self.scores.positions], drawn)

    def edits(self) -> list[TokenEdit]:
        """Return the edits of tokens, ascending."""
        drawn = dict(zip(self.scores.positions.tolist(), self.drawn.tolist(), strict=True))
        changed = [TokenEdit(position, drawn[position], text) for position, text in self.changed.items()]
        return sorted([*changed, *(TokenEdit(position, None, "") for position in self.dropped.tolist())])

    @cached_property
    def kinds(self) -> dict[int, str]:
        """The kind of each token that is selected or dropped, by position; see `kinds_of`."""
        positions = sorted({*self.scores.positions.tolist(), *self.dropped.tolist()})
        starts, ends = self.document.starts[positions], self.document.ends[positions]
        return dict(zip(positions, kinds_of(self.document.text, starts, ends), strict=True))

    def replacements(self) -> list[Replacement]:
        """Return the splices into the text that was read, ascending: one for each of `edits`."""
        starts, ends = self.document.starts, self.document.ends
        return [Replacement(int(starts[at]), int(ends[at]), text) for at, _, text in self.edits()]

    def rejecting(self, positions: Collection[int]) -> ScoredDocument:
        """Return the reading with some of the changed tokens reverted, and counted as rejected."""
        rejected = {position: self.changed[position] for position in positions}
        return replace(self.without(positions), rejected=self.rejected | rejected)

    def without(self, positions: Collection[int]) -> ScoredDocument:
        """Return the reading with some of the edited tokens left unchanged."""
        kept = list(positions)
        return replace(
            self,
            drawn=np.where(np.isin(self.scores.positions, kept), -1, self.drawn),
            changed={position: text for position, text in self.changed.items() if position not in positions},
            dropped=self.dropped[~np.isin(self.dropped, kept)],
        )


@dataclass(frozen=True)
class EditResult(Shown):
    """Edited documents, in the order they were given. Results are equal if their texts, edits and settings are.

    Attributes:
        documents: One document per text; those of a passage in the order of its spans.
        generation: The generation that created them.
        stats: Counts over all of them.
        passages: The passages as they were read; None for values that were not text.
        config: How they were edited.
    """

    documents: list[EditedDocument]
    generation: int
    stats: EditStats = field(compare=False)  # it contains times
    passages: list[Passage | None]
    config: EditConfig
    _aligner: Aligner = field(compare=False)

    def __repr__(self) -> str:
        return f"EditResult({self.stats.headline}, generation {self.generation})"

    @property
    def texts(self) -> list[str | None]:
        """The current texts."""
        return [document.text for document in self.documents]

    @property
    def edits(self) -> list[tuple[Edit, ...]]:
        """Differences of each text from its source."""
        return [document.table.edits if document.table else () for document in self.documents]

    def revert(self) -> list[str | None]:
        """Return the source texts, exactly."""
        return [document.table.revert() if document.table else None for document in self.documents]

    def edited_passages(self) -> list[Passage | None]:
        """Return the passages with the current texts, which the next generation reads."""
        documents = iter(self.documents)
        edited: list[Passage | None] = []
        for passage in self.passages:
            taken = list(islice(documents, len(passage.spans) if passage else 1))
            edited.append(passage and passage.with_texts([document.text or "" for document in taken]))
        return edited

    def tokens(self, index: int) -> list[TokenView]:
        """Return what happened to each token of one text; empty if it was not read."""
        return list(self.views(index))

    def views(self, index: int) -> Iterator[TokenView]:
        """Yield the views of `tokens` one by one, for callers that need only the first ones of a long text."""
        reading = self.documents[index].reading
        if reading is None:
            return
        document, scores = reading.document, reading.scores
        row_of = {int(position): row for row, position in enumerate(scores.positions)}
        dropped = set(reading.dropped.tolist())
        for position in range(len(document)):
            start, end = int(document.starts[position]), int(document.ends[position])
            logprob = float(scores.logprobs[position])
            row = row_of.get(position)
            yield TokenView(
                text=document.text[start:end],
                start=start,
                end=end,
                probability=None if np.isnan(logprob) else float(np.exp(logprob)),
                selected=row is not None,
                dropped=position in dropped,
                replacement="" if position in dropped else reading.changed.get(position),
                rejected=reading.rejected.get(position),
                candidates=() if row is None else self._candidates(scores, row),
                ineligible=CAUSES.get(int(document.causes[position])),
                kind=reading.kinds.get(position),
            )

    def _candidates(self, scores: DocumentScores, row: int) -> tuple[tuple[str | None, float], ...]:
        return tuple(
            (self._aligner.surface(int(token_id)).text, float(np.exp(logprob)))
            for token_id, logprob in zip(scores.candidate_ids[row], scores.candidate_logprobs[row], strict=True)
            if np.isfinite(logprob)
        )
