"""Selection of a dataset's rows by their scores, as in `hf-toedit select`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.api.begin import Taken, do_by, do_planned
from hf_toedit.api.engine import Workers, local_engine
from hf_toedit.api.fitted import fitted_density, fitted_dsir
from hf_toedit.api.named import source_of
from hf_toedit.api.request import RunRequest, new_folder
from hf_toedit.api.scored import field_of, keys_of_rows, sizes_of, step_folder, values_of
from hf_toedit.api.scores import ScorerSettings
from hf_toedit.checked import checked
from hf_toedit.config import PriorConfig, Resources, SourceConfig
from hf_toedit.errors import UsageError
from hf_toedit.runs.planning import chosen_shards
from hf_toedit.scorers.random import RandomConfig
from hf_toedit.scorers.registry import FITTED, SETTINGS, asked_scorer, scorer_to_json
from hf_toedit.scorers.verifier import PASSED
from hf_toedit.scorers.without_model import WithoutModelConfig
from hf_toedit.selection.breakdown import breakdown
from hf_toedit.selection.choice import Choice, Keep, quantiles
from hf_toedit.tasks.best_of import BestOfTask
from hf_toedit.tasks.select import SelectFigures, SelectTask
from hf_toedit.tasks.weigh import WeighTask

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from hf_toedit.api.begin import Engines
    from hf_toedit.api.run import Run
    from hf_toedit.runs.plan import Plan
    from hf_toedit.scorers.scorer import ScorerConfig
    from hf_toedit.scorers.statistics import ScoreStats

_DEFAULTS: dict[str, tuple[Keep, Keep]] = {
    "density": ("highest", "above"),
    "dsir": ("highest", "above"),
    "perplexity": ("lowest", "below"),
    "classifier": ("highest", "above"),
    "random": ("lowest", "below"),
    "exact": ("highest", "above"),
    "numeric": ("highest", "above"),
    "math-answer": ("highest", "above"),
    "rouge1": ("highest", "above"),
    "function": ("highest", "above"),
}
"""Default of `keep` by scorer: with a number of rows, and with a threshold."""


BEST = "best"
"""Column of the best candidates."""


@dataclass(frozen=True)
class SelectRequest:
    """Request for a selection, with checked settings; the source is not opened yet.

    Attributes:
        source: Settings of the source.
        scorer: Scorer that rows are selected by, pinned later; None if it is fitted first.
        target: Data that the rows should resemble, for a scorer that is fitted to it.
        truth: Verifier that decides which rows are right; None if there is none.
        score: Field of the scores; None is the first.
        choice: How many rows are kept, and which; None if every row is kept, with the best of its candidates.
        best_of: Task that chooses among candidates; None if rows are chosen.
        shape: How the source is split into shards, as in `RunRequest`.
    """

    source: SourceConfig
    scorer: ScorerConfig | None
    target: SourceConfig | None
    truth: ScorerConfig | None
    score: str | None
    choice: Choice | None
    best_of: BestOfTask | None
    shape: Mapping[str, Any]


def select(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    by: str,
    rows: int | None = None,
    rate: float | None = None,
    threshold: float | None = None,
    keep: Keep | None = None,
    score: str | None = None,
    target: str | PathLike[str] | None = None,
    target_column: str | Sequence[str] | None = None,
    truth: str | None = None,
    truth_column: str | None = None,
    best_of: str | None = None,
    best_column: str = BEST,
    seed: int = 0,
    workers: Workers = "auto",
    token_budget: int | None = None,
    progress: bool = True,
    **settings: Unpack[ScorerSettings],
) -> Run[Any]:
    """Keep the rows of a dataset with the right scores, as `hf-toedit select` does; an interrupted call is continued.

    Exactly one of `rows`, `rate` and `threshold` determines how many. Rows without a score are not kept. With
    `best_of`, every row is kept instead, and the best of its candidates is chosen.

    Args:
        source: Source; see `plan`.
        folder: Run folder: the rows that are kept, unchanged, and `toedit/steps` with the scores of all rows.
        by: Scorer of the rows, as in `score`.
        rows: Number of rows to keep.
        rate: Share of all rows to keep.
        threshold: Score at which rows are kept, in the unit of the scorer's field.
        keep: `highest`, `middle` or `lowest` with `rows` or `rate`, `above` or `below` with a threshold; None is the
            default of the scorer: the lowest perplexities, the highest scores of a classifier.
        score: Field of the scores; None is the first.
        target: Target source; with `by="dsir"` rows are sampled without replacement by how much more likely they are
            in it.
        target_column: Text column of the target; None is that of the source.
        truth: Verifier that decides which rows are right, for rows with a reference; the run reports how well the
            selection separates right rows from wrong ones (see `selection/breakdown.py`).
        truth_column: Column of the verifier's references.
        best_of: Column with a list of strings, from which the one with the best score is chosen in each row.
        best_column: New column for the chosen string; its index in the list and its score are in `best_index` and
            `best_score`.
        seed: Random seed for sampling, and for the order of equal scores.
        workers: See `edit`, as for `token_budget` and `progress`.
        token_budget: Target number of tokens per forward pass.
        progress: Show progress bars.
        **settings: Settings of the source, its texts and shards, as in `plan`; of the scorer, as in `score`.

    Raises:
        UsageError: A setting is unknown or out of range, or fewer rows have a score than requested.
        SourceError: A source cannot be found, read, or scored as requested.
        PriorError: A model cannot be loaded.
        RunError: The folder cannot be written, or contains another run.

    Examples:
        >>> run = select("org/web", "kept", by="perplexity", rate=0.125)  # doctest: +SKIP
        >>> run.dataset()["train"]  # doctest: +SKIP
    """
    how = {
        "rows": rows,
        "rate": rate,
        "threshold": threshold,
        "keep": keep,
        "score": score,
        "target": target,
        "target_column": target_column,
        "truth": truth,
        "truth_column": truth_column,
        "best_of": best_of,
        "best_column": best_column,
        "seed": seed,
    }
    engines = partial(local_engine, workers, resources=Resources(token_budget), progress=progress)
    return select_rows(
        select_request(source, by, how, settings),
        checked(folder, str, "folder"),
        engines,
        progress,
    )


def select_request(
    source: str | PathLike[str], by: str, how: Mapping[str, Any], given: Mapping[str, Any]
) -> SelectRequest:
    """Check the arguments of `select`.

    Args:
        source: Source as named by the user.
        by: The scorer.
        how: The other keyword arguments of `select` that determine the rows.
        given: Settings of the source and of the scorer.
    """
    candidates = how["best_of"]
    if candidates is not None:
        given = {"text_column": f"{candidates}[]", **given}
    taken = Taken(given)
    origin, prior, shape = taken.source(source), taken.prior(), taken.shape()
    rest = taken.rest(*SETTINGS)
    if (by == "dsir") != (how["target"] is not None):
        raise UsageError("--by dsir needs a --target, and no other scorer has one.")
    if by == RandomConfig.kind:
        rest["seed"] = how["seed"]
    scorer = None if by in FITTED else asked_scorer(by, prior, **rest)
    truth = _truth(how["truth"], how["truth_column"])
    target = (
        None if how["target"] is None else _target(checked(how["target"], str, "target"), how["target_column"], given)
    )
    said = {name: how[name] for name in ("rows", "rate", "threshold", "keep", "seed") if how[name] is not None}
    if "keep" not in said:
        said["keep"] = _usual(scorer.kind if scorer else by, "threshold" in said)
    if scorer is not None:
        field_of(scorer, how["score"])
    if candidates is None:
        choice = Choice.from_mapping({**said, "sampled": by in FITTED and "threshold" not in said})
        return SelectRequest(origin, scorer, target, truth, how["score"], choice, None, shape)
    if scorer is None:
        raise UsageError("--best-of needs a scorer that is not fitted to data. Name another one with --by.")
    for name in ("rows", "rate", "threshold"):
        if name in said:
            raise UsageError(f"--best-of keeps every row. Leave --{name} out, and select rows of the result.")
    best = BestOfTask(scorer, how["best_column"], candidates, how["score"] or "", said["keep"])
    return SelectRequest(origin, scorer, target, truth, how["score"], None, best, shape)


def _truth(name: str | None, column: str | None) -> ScorerConfig | None:
    """Return the settings of the verifier that decides which rows are right."""
    if name is None:
        if column is not None:
            raise UsageError("--truth-column is for --truth. Name a verifier, or leave it out.")
        return None
    truth = asked_scorer(name, PriorConfig(), reference_column=column)
    if PASSED not in truth.fields:
        raise UsageError(f"{name!r} does not mark rows as right or wrong. Name exact, numeric or math-answer.")
    return truth


def _target(target: str, column: str | Sequence[str] | None, given: Mapping[str, Any]) -> SourceConfig:
    """Return the settings of a target; by default its texts are in the same columns as those of the source."""
    if column:
        return source_of(target, {"text_column": column})
    texts = ("text_column", "messages_column", "roles")
    return source_of(target, {name: given[name] for name in texts if name in given})


def select_rows(
    asked: SelectRequest,
    folder: str,
    engines: Engines,
    progress: bool,
    said: tuple[str | None, str | None] = (None, None),
) -> Run[Any]:
    """Score the rows, select, and write the rows that are kept.

    Args:
        asked: The selection.
        folder: Run folder.
        engines: Creates the engine of each task.
        progress: Show progress bars.
        said: The typed command, and the licence of a source whose card does not state one.
    """
    new_folder(folder, asked.source)  # refuses a folder with other content before the first step writes there
    if asked.best_of is not None:
        return do_by(RunRequest(asked.source, asked.best_of, **asked.shape), folder, engines, progress, said)
    scorer = asked.scorer
    if scorer is None:
        scorer = _fitted(asked, folder, engines, progress)
    weighing = RunRequest(asked.source, WeighTask(scorer), **asked.shape)
    weighed: Run[ScoreStats] = do_by(weighing, step_folder(folder, "scores"), engines, progress, said)
    right = None
    if asked.truth is not None:
        verifying = RunRequest(asked.source, WeighTask(asked.truth), **asked.shape)
        right = values_of(do_by(verifying, step_folder(folder, "truth"), engines, progress), PASSED)
    return do_planned(_selected(asked, weighed, right), folder, engines, progress)


def _fitted(asked: SelectRequest, folder: str, engines: Engines, progress: bool) -> ScorerConfig:
    """Return the scorer, fitted to the source, and to the target if there is one."""
    if asked.target is not None:
        return fitted_dsir(asked.source, asked.target, folder, engines, progress, asked.shape)
    seed = asked.choice.seed if asked.choice else 0
    return fitted_density(asked.source, folder, asked.shape, seed)


def _usual(by: str, is_threshold: bool) -> Keep:
    if by not in _DEFAULTS:
        which = "above or below" if is_threshold else "highest, middle or lowest"
        raise UsageError(f"scorer {by!r} has no default for which rows to keep. Use --keep {which}.")
    return _DEFAULTS[by][is_threshold]


def _selected(asked: SelectRequest, weighed: Run[ScoreStats], right: np.ndarray | None) -> Plan:
    """Return the plan with the rows that are kept; `right` marks the rows that are right, if known."""
    plan = weighed.plan
    assert isinstance(plan.task, WeighTask) and asked.choice is not None
    scorer = plan.task.scorer
    score = field_of(scorer, asked.score)
    values = values_of(weighed, score)
    kept = asked.choice.rows_of(values, keys_of_rows(weighed))
    figures = SelectFigures(
        num_rows=len(values),
        num_scored=int(np.count_nonzero(~np.isnan(values))),
        num_kept=len(kept),
        quantiles=quantiles(values),
        kept_quantiles=quantiles(values[kept]),
        truth=None if right is None else breakdown(right, np.isin(np.arange(len(values)), kept)),
    )
    described = scorer.reported if isinstance(scorer, WithoutModelConfig) else scorer
    truth = None if asked.truth is None else scorer_to_json(asked.truth)
    task = SelectTask(scorer_to_json(described), score, asked.choice.to_json(), figures, truth)
    return replace(plan, task=task, shards=chosen_shards(plan.shards, sizes_of(weighed), kept))
