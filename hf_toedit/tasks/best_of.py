"""The task of label selection: choose the best-scored of each row's candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_toedit.checked import checked
from hf_toedit.config import Resources, TextConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import LoadedTask, RowCheck
from hf_toedit.runs.verify import differing_columns
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.scorer import Prepared, RowScores, Scorer
from hf_toedit.scorers.statistics import ScoreStats
from hf_toedit.tasks.score import ScoreTask
from hf_toedit.tasks.score_rows import LoadedScore, ScoreColumn

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.editing.alignment import Document
    from hf_toedit.rows.texts import Texts

CHOSEN = Pass("chosen", 1, "the choice")

_FIELDS = {"index": "int32", "score": "float64"}
"""Output fields of the best candidate: its index in the list, and its score."""


@dataclass(frozen=True)
class BestOfTask(ScoreTask):
    """Adds a column with the best of each row's candidates, and columns with its index and score.

    Attributes:
        candidates: Column of the candidates, a list of strings.
        score: Score field by which candidates are compared; empty selects the scorer's first field.
        keep: Whether the highest or the lowest score is the best; the first one wins ties.
    """

    kind = "best-of"
    done = "chosen from"

    candidates: str = "candidates"
    score: str = ""
    keep: Literal["highest", "lowest"] = "highest"

    @property
    def passes(self) -> tuple[Pass, ...]:
        """See `Task.passes`."""
        return (CHOSEN,)

    def facts(self) -> dict[str, Any]:
        """See `Task.facts`."""
        best = {"candidates": self.candidates, "score": self.score, "keep": self.keep}
        return {**super().facts(), "best": best}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], path: str = "") -> Self:
        """See `Task.from_facts`."""
        best = checked(facts.get("best"), dict[str, str], f"{path}.best")
        if best.keys() != {"candidates", "score", "keep"} or best["keep"] not in ("highest", "lowest"):
            raise UsageError(f"{path}.best must have 'candidates', 'score' and 'keep' (highest or lowest).")
        task = super().from_facts({name: value for name, value in facts.items() if name != "best"}, path)
        return replace(task, **best)

    @property
    def columns(self) -> tuple[str, str, str]:
        """Names of the added columns: the best candidate, its index, and its score."""
        name = self.scores_column
        return name, f"{name}_index", f"{name}_score"

    def check(self, features: Features, texts: Texts) -> None:
        """See `Task.check`."""
        texts.check(features)
        self.scorer.check(features)
        kind = features.arrow_schema.field(self.candidates).type if self.candidates in features else None
        if kind is None or not (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)):
            raise SourceError(
                f"there is no column {self.candidates!r} with a list of strings in each row. Name that of the "
                f"candidates with --best-of."
            )
        for name in self.columns:
            if name in features:
                raise SourceError(f"the source already has a column {name!r}. Choose another name with --best-column.")

    def output_features(self, features: Features, texts: Texts) -> Features:
        """See `Task.output_features`."""
        from datasets import Features, Value

        kinds = zip(self.columns, ("string", *_FIELDS.values()), strict=True)
        return Features({**features, **{name: Value(kind) for name, kind in kinds}})

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`."""
        config, scorer = self.scorer.load(resources)
        task = replace(self, scorer=config)
        return task, LoadedScore(_BestOf(scorer, task), _BestColumn(task.scores_column, task.kind, _FIELDS, task=task))

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`."""
        return _BestCheck(self)


class _Exploded(NamedTuple):
    prepared: Prepared
    rows: np.ndarray


class _BestOf:
    """Scores candidates, each as the text of a separate row; see `Scorer`."""

    def __init__(self, scorer: Scorer, task: BestOfTask) -> None:
        self.name = scorer.name
        self.concurrency = scorer.concurrency
        self.batch_bytes = scorer.batch_bytes
        self._scorer = scorer
        self._task = task
        self._score = task.score or next(iter(task.scorer.fields))

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        name = self._task.candidates
        lists = table.column(name).combine_chunks()
        rows = pc.list_parent_indices(lists)
        exploded = table.drop_columns([name]).take(rows).append_column(name, lists.flatten())
        prepared = self._scorer.prepare(exploded, _texts_of(texts, name))
        places = np.asarray(rows)
        num_tokens = np.bincount(places, weights=prepared.num_tokens, minlength=len(table)).astype(np.int64)
        return Prepared(len(table), prepared.documents, num_tokens, _Exploded(prepared, places))

    def score(self, prepared: Prepared) -> RowScores:
        inner, rows = prepared.state
        scored = self._scorer.score(inner)
        best: list[dict[str, Any]] = [dict.fromkeys(_FIELDS) for _ in range(prepared.num_rows)]
        starts = np.searchsorted(rows, np.arange(prepared.num_rows))
        sign = 1 if self._task.keep == "highest" else -1
        for place, (row, scores) in enumerate(zip(rows.tolist(), scored.rows, strict=True)):
            score = scores[self._score]
            if score is not None and (best[row]["score"] is None or sign * score > sign * best[row]["score"]):
                best[row] = {"index": place - int(starts[row]), "score": float(score)}
        return replace(scored, rows=best)

    def read(self, documents: Sequence[Document]) -> None:
        self._scorer.read(documents)


@dataclass(frozen=True)
class _BestColumn(ScoreColumn):
    """The columns of the best candidates; see `ScoreColumn`."""

    task: BestOfTask | None = None

    def with_scores(self, table: pa.Table, scores: pa.StructArray) -> pa.Table:
        assert self.task is not None
        index, score = scores.flatten()
        name, index_name, score_name = self.task.columns
        best = chosen(table.column(self.task.candidates), index)
        return table.append_column(name, best).append_column(index_name, index).append_column(score_name, score)


def chosen(candidates: pa.ChunkedArray, index: pa.Array) -> pa.Array:
    """Return one item of each list; null where the index is null.

    Args:
        candidates: Lists of strings.
        index: Indices in the lists, int32.
    """
    lists = candidates.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    starts = pa.array(np.cumsum(lengths) - lengths, pa.int64())
    return lists.flatten().take(pc.add(starts, index.cast(pa.int64())))


def _texts_of(texts: Texts, column: str) -> Texts:
    """Return the selection of candidates as the texts of rows, with the same context."""
    return type(texts)(TextConfig(text_columns=(column,), context_columns=texts.config.context_columns))


class _BestCheck(RowCheck):
    """Checks that the source's columns are unchanged, and that the best candidate is the one at the index."""

    def __init__(self, task: BestOfTask) -> None:
        self._task = task
        self._num_rows = 0
        self._scores = Distribution()

    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        name, index, score = self._task.columns
        self._num_rows += len(table)
        self._scores += Distribution.of(table.column(score).to_numpy().astype(np.float64))
        lists, places = table.column(self._task.candidates).to_pylist(), table.column(index).to_pylist()
        for row, (items, place, best) in enumerate(zip(lists, places, table.column(name).to_pylist(), strict=True)):
            wanted = None if place is None else items[place] if items and 0 <= place < len(items) else ...
            if wanted != best:
                yield f"{pass_.title}: row {first + row:,} has another {name!r} than its index states."
                return
        if source is not None:
            yield from differing_columns(pass_, table, source, first)

    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        assert isinstance(recorded, ScoreStats)
        if (recorded.num_rows, recorded.values["score"]) != (self._num_rows, self._scores):
            yield f"{pass_.title}: its statistics are not those of its rows."
