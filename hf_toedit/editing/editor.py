"""`ToEditor`: documents and a prior in, edited documents out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.config import EditConfig, PriorConfig
from hf_toedit.editing.alignment import CAUSES, Aligner, Document
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.result import EditedDocument, EditResult, Reading
from hf_toedit.editing.sampling import KeyedUniforms, draw
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.stats import EditStats

if TYPE_CHECKING:
    from hf_toedit.priors.base import DocumentScores, Prior

logger = logging.getLogger(__name__)


class ToEditor:
    """Edits texts: tokens that the prior finds too easy are drawn again, everything else stays as it was.

    Example:
        >>> editor = ToEditor.from_pretrained("embedded", seed=1)
        >>> result = editor.edit(["Once upon a time there was a little girl."])
        >>> result.revert()
        ['Once upon a time there was a little girl.']
    """

    def __init__(self, prior: Prior, config: EditConfig | None = None) -> None:
        """Make an editor.

        Args:
            prior: scores documents.
            config: how to edit; the default is the `toedit` preset.
        """
        self.prior = prior
        self.config = config or EditConfig()
        self._rule = SelectionRule(self.config)
        self._aligner = Aligner(prior.tokenizer, self.config.protect)

    @classmethod
    def from_pretrained(
        cls,
        prior: str = "embedded",
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        preset: str = "toedit",
        **config: Any,
    ) -> ToEditor:
        """Load a prior by name and make an editor.

        Args:
            prior: `embedded`, a local folder, or a Hub id.
            revision: see `PriorConfig`, as are `dtype`, `device` and `trust_remote_code`.
            dtype: of the model's body.
            device: where it runs.
            trust_remote_code: let the model's repository run its own code.
            preset: see `PRESETS`.
            **config: settings of `EditConfig`.

        Raises:
            PriorError: the prior cannot be loaded.
            UsageError: a setting is unknown or out of range.
        """
        from hf_toedit.priors.base import load_prior

        edit_config = EditConfig.from_preset(preset, **config)
        return cls(load_prior(PriorConfig(prior, revision, dtype, device, trust_remote_code)), edit_config)

    def edit(
        self,
        texts: Sequence[str | None] | EditResult,
        *,
        generation: int | None = None,
        tables: Sequence[PieceTable | None] | None = None,
    ) -> EditResult:
        """Edit texts once.

        Args:
            texts: documents of any length; None and empty ones pass through. An earlier result is edited again, one
                generation on, its edits composed against the source.
            generation: keys the draws; 1, or the one after an earlier result's.
            tables: earlier edits of the same texts, where they are known otherwise.

        Returns:
            One edited document a text, in order.

        Raises:
            PriorError: the prior fails on every text.
        """
        if isinstance(texts, EditResult):
            generation = generation or texts.generation + 1
            tables = [document.table for document in texts.documents]
            texts = texts.texts
        elif isinstance(texts, str):
            raise UsageError("edit takes a list of texts, not one string. Put it in a list: edit([text]).")
        generation = generation or 1
        stats = EditStats()
        documents = self._documents(list(texts), list(tables or [None] * len(texts)), generation, stats)
        return EditResult(documents, generation, stats, self._aligner)

    def _documents(
        self, texts: list[Any], tables: list[PieceTable | None], generation: int, stats: EditStats
    ) -> list[EditedDocument]:
        causes = [_why_unread(text) for text in texts]
        read = [index for index, cause in enumerate(causes) if cause is None]
        with _timed(stats, "tokenize"):
            aligned = self._aligner.align([texts[index] for index in read])
        with _timed(stats, "score"):
            scores = dict(zip(read, self._score(aligned), strict=True))
        by_index = dict(zip(read, aligned, strict=True))
        with _timed(stats, "edit"):
            return [
                self._document(texts[index], tables[index], causes[index], by_index.get(index), scores.get(index),
                               generation, stats)
                for index in range(len(texts))
            ]  # fmt: skip

    def _document(
        self,
        text: Any,
        table: PieceTable | None,
        cause: str | None,
        document: Document | None,
        scores: DocumentScores | None,
        generation: int,
        stats: EditStats,
    ) -> EditedDocument:
        if table is None and isinstance(text, str):
            table = PieceTable(text)
        if document is None or table is None or scores is None:
            cause = cause or "prior_failed"
            stats.add_skipped(cause)
            return EditedDocument(table, cause)
        reading = self._draw(document, scores, generation)
        replacements = reading.replacements()
        _count(stats, reading, bool(replacements))
        return EditedDocument(table.apply(replacements, generation), None, reading)

    def _draw(self, document: Document, scores: DocumentScores, generation: int) -> Reading:
        config = self.config
        positions = scores.positions
        originals = document.ids[positions]
        admissible = self._aligner.admissible(originals, scores.candidate_ids, config.exclude_original)
        uniforms = KeyedUniforms(config.seed, generation, document.text)
        drawn = draw(config, uniforms, positions, scores.candidate_ids, scores.candidate_logprobs, admissible)
        changed = {}
        for position, before, after in zip(positions.tolist(), originals.tolist(), drawn.tolist(), strict=True):
            surface = self._aligner.surface(after).text if after >= 0 else None
            if surface is not None and surface != self._aligner.surface(before).text:
                changed[position] = surface
        dropped = np.flatnonzero(self._rule.dropped(scores.logprobs) & document.eligible)
        return Reading(document, scores, drawn, changed, dropped)

    def _score(self, documents: list[Document]) -> list[DocumentScores | None]:
        """Scores of all documents; None for one that the prior fails on even alone."""
        reason = "its scores are not finite numbers."
        try:
            scores = [_finite(scores) for scores in self.prior.score(documents, self._rule)]
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            logger.warning("prior failed on a batch (%s); scoring its documents one at a time.", reason)
            scores = [self._score_alone(document) for document in documents]
        if documents and all(entry is None for entry in scores) and not self._prior_works():
            raise PriorError(
                f"prior {self.prior.name!r} fails on every text: {reason} Try another --dtype or --device, or prior."
            )
        return scores

    def _score_alone(self, document: Document) -> DocumentScores | None:
        try:
            return _finite(self.prior.score([document], self._rule)[0])
        except Exception as error:
            logger.warning("prior failed on a document of %d tokens: %s", len(document), error)
            return None

    def _prior_works(self) -> bool:
        """Whether the prior can score anything at all: if so, a failure is the document's, and the run goes on."""
        return self._score_alone(self._aligner.align(["Once upon a time."])[0]) is not None


def _why_unread(text: Any) -> str | None:
    """Why a value cannot be edited; None where it can."""
    if text is None:
        return "null"
    if not isinstance(text, str):
        return "not_text"
    if not text:
        return "empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "invalid_unicode"
    return None


def _finite(scores: DocumentScores) -> DocumentScores | None:
    """The scores, or None where the model overflowed (only the first token may have none)."""
    return None if np.isnan(scores.logprobs[1:]).any() or np.isinf(scores.logprobs).any() else scores


def _count(stats: EditStats, reading: Reading, changed: bool) -> None:
    document, scores = reading.document, reading.scores
    stats.add_scores(scores.logprobs)
    stats.add_draws(scores.logprobs[scores.positions], reading.drawn_logprobs)
    stats.num_rows_changed += changed
    stats.num_changed += len(reading.changed)
    stats.num_dropped += len(reading.dropped)
    for cause, count in zip(*np.unique(document.causes, return_counts=True), strict=True):
        if int(cause) in CAUSES:
            stats.num_ineligible[CAUSES[int(cause)]] += int(count)


@contextmanager
def _timed(stats: EditStats, stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        stats.seconds[stage] = stats.seconds.get(stage, 0.0) + time.perf_counter() - began
