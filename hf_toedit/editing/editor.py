"""`Editor`: edits texts, alone or in passages, with a prior."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np

from hf_toedit.checked import checked, kinds
from hf_toedit.config import EditConfig, RunConfig
from hf_toedit.display import called
from hf_toedit.editing.acceptance import PRUNED, Trial
from hf_toedit.editing.alignment import CAUSES, Aligner, Document
from hf_toedit.editing.apart import EXAMPLE, read_apart
from hf_toedit.editing.draft import Draft
from hf_toedit.editing.excerpt import excerpts
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.prior import DocumentScores, Prior
from hf_toedit.editing.result import EditedDocument, EditResult, ScoredDocument
from hf_toedit.editing.sampling import KeyedUniforms, draw
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.stats import EditStats

_NO_DRAWS = SelectionRule(EditConfig(select="none"))
"""Rule for scoring that only needs probabilities."""


class Editor:
    """Editor that resamples tokens which the prior finds too easy, and leaves all other text unchanged."""

    def __init__(self, prior: Prior, config: EditConfig | None = None) -> None:
        """Create an editor.

        Args:
            prior: The prior that scores documents.
            config: How to edit; the default is the `toedit` preset.

        Raises:
            UsageError: The prior is the name of one, or the configuration is not an `EditConfig`.
        """
        if isinstance(prior, str):
            raise UsageError(f"{prior!r} is the name of a prior. Load it: ToEditor.from_pretrained({prior!r}).")
        if not isinstance(config, EditConfig | None):
            raise UsageError(f"config must be an EditConfig, not of type {type(config).__name__}.")
        self.prior = prior
        self.config = config or EditConfig()
        self._rule = SelectionRule.of(self.config)
        self._aligner = Aligner(prior.tokenizer, self.config.protect)

    def __repr__(self) -> str:
        return called(type(self), self.prior.name, self.config.differing(EditConfig()))

    @cached_property
    def tokenizing(self) -> Executor:
        """A thread for calls of `draft`; it is reused, since new threads of torch and OpenMP are expensive."""
        return ThreadPoolExecutor(1, "tokenizing")

    @cached_property
    def scoring(self) -> Executor:
        """As many threads for calls of `score` as benefit the prior; they are reused as well."""
        return ThreadPoolExecutor(self.prior.concurrency, "scoring")

    def edit(
        self,
        texts: Iterable[str | Passage | None] | EditResult,
        *,
        contexts: Iterable[str | None] | None = None,
        generation: int | None = None,
        tables: Sequence[PieceTable | None] | None = None,
    ) -> EditResult:
        """Edit texts once.

        Args:
            texts: Documents of any length; None and empty ones are passed through. A passage contains any number of
                texts and the context around them. An earlier result is edited again as the next generation, with its
                edits composed against the source.
            contexts: Text that the prior reads before each text and that is not edited, such as the prompt of a
                response; None for no context.
            generation: Generation number, part of the key for sampling; by default 1, or the one after an earlier
                result's.
            tables: Earlier edits of the same texts, one table per text, if known from elsewhere.

        Returns:
            One edited document per text, in order.

        Raises:
            PriorError: The prior fails on every text, or runs out of memory.
            UsageError: `texts` are not a list of texts, `contexts` do not match them, or `generation` is out of range.
        """
        if isinstance(texts, str | bytes):
            raise UsageError("edit takes a list of texts, not one string. Put it in a list: edit([text]).")
        if generation is not None:
            generation = checked(generation, kinds(RunConfig)["generations"], "generation")
        passages: Sequence[Any]
        if isinstance(texts, EditResult):
            if contexts is not None:
                raise UsageError("an earlier result is edited in the contexts it had. Leave the contexts out.")
            generation = generation or texts.generation + 1
            tables = [document.table for document in texts.documents]
            passages = list(texts.edited_passages())
        else:
            # A list, because a pandas Series is indexed by its labels, and a generator not at all.
            texts = passages = _listed(texts, "texts")
            _check_any_text(texts)
            if contexts is not None:
                what = f"one for each of the {len(texts)} texts (None for no context)"
                passages = _in_contexts(texts, _listed(contexts, "contexts", what))
        draft = self.draft(passages, generation or 1, tables)
        self.score(draft)
        self.verify(draft)
        return self.finish(draft)

    def draft(self, texts: Sequence[Any], generation: int, tables: Sequence[PieceTable | None] | None = None) -> Draft:
        """Tokenize texts: the first step of `edit`. The steps may run in different threads.

        Args:
            texts: Strings and passages; other values are passed through.
            generation: Generation number, part of the key for sampling.
            tables: See `edit`.
        """
        draft = Draft.of(texts, generation, tables)
        with _timed(draft.stats, "tokenize"):
            draft.documents = self._aligner.align([texts[index] for index in draft.read])
        return draft

    def score(self, draft: Draft) -> None:
        """Score the tokens with the prior: the second step.

        Raises:
            PriorError: The prior fails on every text, or runs out of memory.
        """
        with _timed(draft.stats, "score"):
            reasons: list[str] = []
            draft.scores = self._score(draft.documents, self._rule, reasons)
        for reason in reasons:
            draft.stats.add_skip_reason("prior_failed", reason)

    def verify(self, draft: Draft) -> None:
        """Sample, score the edited texts and revert edits: the third step, if edits are verified.

        Raises:
            PriorError: The prior fails on every text, or runs out of memory.
            UsageError: The prior is pruned, so that the probabilities before the edits are unknown.
        """
        rule = self.config.acceptance
        if rule is None:
            return
        if any(entry is not None and entry.sampled is not None for entry in draft.scores):
            raise UsageError(PRUNED)
        with _timed(draft.stats, "score"):
            draft.drawn = self._draws(draft)
            trials = {
                index: Trial(rule, draft.texts[index], document, entry, draft.drawn[index])
                for index, document, entry in zip(draft.read, draft.documents, draft.scores, strict=True)
                if entry is not None
            }
            read = {index: trial.document for index, trial in trials.items() if trial.document is not None}
            for index, scores in zip(read, self._score(list(read.values()), _NO_DRAWS, []), strict=True):
                # An edit may have kept protected text unchanged only together with another edit that is now reverted.
                draft.drawn[index] = [self._guarded(reading) for reading in trials[index].settled(scores)]

    def finish(self, draft: Draft) -> EditResult:
        """Sample, if not done yet, splice and count: the last step."""
        known = iter(draft.tables or [None] * sum(map(len, draft.causes)))
        documents: list[EditedDocument] = []
        with _timed(draft.stats, "edit"):
            drawn = self._draws(draft) if draft.drawn is None else draft.drawn
            for index, passage in enumerate(draft.texts):
                texts = passage.texts if isinstance(passage, Passage) else [None]
                readings: Sequence[ScoredDocument | None] = drawn.get(index, [None] * len(texts))
                earlier = islice(known, len(texts))
                edited = [
                    self._document(text, cause, reading, table, draft.generation, draft.stats)
                    for text, cause, reading, table in zip(texts, draft.causes[index], readings, earlier, strict=True)
                ]
                draft.stats.num_rows_changed += any(document.changed for document in edited)
                documents += edited
        read = [passage if isinstance(passage, Passage) else None for passage in draft.texts]
        return EditResult(documents, draft.generation, draft.stats, read, self.config, self._aligner)

    def _document(
        self,
        text: str | None,
        cause: str | None,
        reading: ScoredDocument | None,
        earlier: PieceTable | None,
        generation: int,
        stats: EditStats,
    ) -> EditedDocument:
        table = PieceTable(text) if earlier is None and text is not None else earlier
        if table is None or cause is not None or reading is None:
            cause = cause or "prior_failed"
            stats.add_skipped(cause)
            edited = EditedDocument(table, cause)
        else:
            _count(stats, reading)
            edited = EditedDocument(table.apply(reading.replacements(), generation), None, reading)
        if generation == 1 or earlier is not None:
            _count_unchanged(stats, table, edited)
        return edited

    def _draws(self, draft: Draft) -> dict[int, list[ScoredDocument]]:
        """Return the sampled edits for each text of the passages that could be read, by index."""
        return {
            index: [self._draw(*part, draft.generation) for part in excerpts(draft.texts[index], document, entry)]
            for index, document, entry in zip(draft.read, draft.documents, draft.scores, strict=True)
            if entry is not None
        }

    def _draw(self, document: Document, scores: DocumentScores, generation: int) -> ScoredDocument:
        config = self.config
        positions = scores.positions
        originals = document.ids[positions]
        admissible = self._aligner.admissible(originals, scores.candidate_ids, config.exclude_original)
        uniforms = KeyedUniforms(config.seed, generation, document.text)
        drawn = draw(
            self._rule.sampler, uniforms, positions, scores.candidate_ids, scores.candidate_logprobs, admissible
        )
        changed = {}
        for position, before, after in zip(positions.tolist(), originals.tolist(), drawn.tolist(), strict=True):
            surface = self._aligner.surface(after).text if after >= 0 else None
            if surface is not None and surface != self._aligner.surface(before).text:
                changed[position] = surface
        dropped = np.flatnonzero(self._rule.dropped(scores.logprobs) & document.eligible)
        return self._guarded(ScoredDocument(document, scores, drawn, changed, dropped))

    def _guarded(self, reading: ScoredDocument) -> ScoredDocument:
        """Return the reading without the edits that would change protected text."""
        edits = reading.edits() if self.config.protect else []
        if not edits:
            return reading
        wrong = self._aligner.guards.to_put_back(reading.document.text, reading.replacements())
        return reading.without([edits[index].position for index in wrong]) if wrong else reading

    def _score(self, documents: list[Document], rule: SelectionRule, reasons: list[str]) -> list[DocumentScores | None]:
        """Score all documents; None for one that the prior fails on even alone, with the reason in `reasons`."""
        scores = read_apart(partial(self._read, rule), documents, reasons, "prior")
        if documents and all(entry is None for entry in scores) and not self._prior_works():
            raise PriorError(
                f"prior {self.prior.name!r} fails on every text: {min(reasons)} Try another --dtype or --device, or "
                f"prior."
            )
        return scores

    def _read(
        self, rule: SelectionRule, documents: Sequence[Document], reasons: list[str]
    ) -> list[DocumentScores | None]:
        scored = self.prior.score(documents, rule)
        return [_finite(document, entry, reasons) for document, entry in zip(documents, scored, strict=True)]

    def _prior_works(self) -> bool:
        """Whether the prior can score any text: if so, a failure is the document's fault, and the run continues."""
        return read_apart(partial(self._read, self._rule), self._aligner.align([EXAMPLE]), [], "prior") != [None]


def _in_contexts(texts: Sequence[Any], contexts: Sequence[str | None]) -> list[Any]:
    """Return each text as a passage with its context; other values are unchanged."""
    if len(contexts) != len(texts) or not all(isinstance(context, str | None) for context in contexts):
        raise UsageError(f"contexts must be a list of one for each of the {len(texts)} texts; None for no context.")
    if any(context and isinstance(text, Passage) for text, context in zip(texts, contexts, strict=True)):
        raise UsageError("a passage holds its own context. Give None as its entry in contexts.")
    return [
        Passage.of(text, [context]) if isinstance(text, str) else text
        for text, context in zip(texts, contexts, strict=True)
    ]


def _finite(document: Document, scores: DocumentScores, reasons: list[str]) -> DocumentScores | None:
    """Return the scores, or None if the model overflowed. Only first tokens, context and pruned tokens may lack one."""
    due = document.own if scores.sampled is None else scores.sampled
    if np.isnan(scores.logprobs[1:][due[1:]]).any() or np.isinf(scores.logprobs).any():
        reasons.append("its scores are not finite numbers.")
        return None
    return scores


def _count(stats: EditStats, reading: ScoredDocument) -> None:
    document, scores = reading.document, reading.scores
    stats.add_scores(scores.counted)
    stats.add_draws(scores.logprobs[scores.positions], reading.drawn_logprobs)
    stats.num_changed += len(reading.changed)
    stats.num_dropped += len(reading.dropped)
    _count_kinds(stats, reading)
    stats.num_rejected += len(reading.rejected)
    for cause, count in zip(*np.unique(document.causes, return_counts=True), strict=True):
        if int(cause) in CAUSES:
            stats.num_ineligible[CAUSES[int(cause)]] += int(count)


def _count_kinds(stats: EditStats, reading: ScoredDocument) -> None:
    counted = (
        (stats.num_selected_by_kind, reading.scores.positions.tolist()),
        (stats.num_changed_by_kind, reading.changed),
        (stats.num_dropped_by_kind, reading.dropped.tolist()),
        (stats.num_rejected_by_kind, reading.rejected),
    )
    for counts, positions in counted:
        for position in positions:
            kind = reading.kinds[position]
            counts[kind] = counts.get(kind, 0) + 1


def _count_unchanged(stats: EditStats, before: PieceTable | None, edited: EditedDocument) -> None:
    """Count the source text that no edit touches; `before` is its table before this generation."""
    if before is None or edited.table is None:
        return
    stats.num_characters += edited.table.num_source
    stats.num_characters_unchanged += edited.table.num_unchanged
    if edited.reading is not None:
        document = edited.reading.document
        unchanged = ~before.touched(document.starts, document.ends)
        unchanged[[*edited.reading.changed, *edited.reading.dropped.tolist()]] = False
        stats.num_tokens_unchanged += int(unchanged.sum())


def _listed(values: Any, name: str, what: str = "strings") -> list[Any]:
    is_table = getattr(values, "ndim", 1) != 1  # a DataFrame iterates over the names of its columns
    if is_table or isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"{name} must be a list of {what}, not of type {type(values).__name__}.")
    found = list(values)
    if hasattr(values, "isna"):  # pandas stores None in a Series of strings as NaN
        found = [None if is_missing else value for value, is_missing in zip(found, values.isna(), strict=True)]
    return found


def _check_any_text(values: Sequence[Any]) -> None:
    """Refuse values of which none is a text: rows, bytes, or lists of tokens. A few among texts are passed through."""
    others = [value for value in values if not isinstance(value, str | Passage | None)]
    if others and not any(isinstance(value, str | Passage) for value in values):
        raise UsageError(f"texts must be a list of strings, not of values of type {type(others[0]).__name__}.")


@contextmanager
def _timed(stats: EditStats, stage: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        stats.seconds[stage] = stats.seconds.get(stage, 0.0) + time.perf_counter() - began
