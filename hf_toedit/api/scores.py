"""Scoring runs, as created by `hf-toedit score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import Taken, do_run
from hf_toedit.api.engine import Workers
from hf_toedit.api.request import RunRequest
from hf_toedit.api.run import Run
from hf_toedit.config import Resources
from hf_toedit.scorers.registry import SETTINGS, asked_scorer
from hf_toedit.scorers.statistics import ScoreStats
from hf_toedit.settings import PriorSettings, SourceSettings
from hf_toedit.tasks.score import ScoreTask

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ScorerSettings(PriorSettings, SourceSettings, total=False):
    """Settings of a source, its shards, and a scorer, named as on the command line."""

    config_name: str | None
    split: str | None
    model: str | PathLike[str] | None
    model_revision: str | None
    labels: str | Sequence[str]
    truncate: bool
    column: str
    tokenizer: str | PathLike[str] | None
    reference_column: str
    tolerance: float
    shard_size: str
    num_shards: int | None


class ScoreSettings(ScorerSettings, total=False):
    """Keyword arguments of `score`."""

    scorer: str
    scores_column: str


def score(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    workers: Workers = "auto",
    token_budget: int | None = None,
    memory_fraction: float = 0.9,
    tensor_parallel: int = 1,
    progress: bool = True,
    **settings: Unpack[ScoreSettings],
) -> Run[ScoreStats]:
    """Score each row of a dataset, as `hf-toedit score` does; an interrupted run is continued.

    Args:
        source: Source; see `plan`, as for `folder`.
        folder: Run folder.
        workers: See `edit`, as for `token_budget`, `memory_fraction`, `tensor_parallel` and `progress`.
        token_budget: Target number of tokens per forward pass.
        memory_fraction: Share of a GPU's memory that may be used.
        tensor_parallel: Number of GPUs that share one copy of the model.
        progress: Show a progress bar, in a terminal or a notebook.
        **settings: `scorer`: `perplexity` of the prior, `classifier`, or `module:Class`; `scores_column`: struct column
            of the scores; settings of the classifier (`model`, `model_revision`, `labels`: labels whose logits are
            kept, `truncate`: read only the first part of a long text); settings of the prior, the source, its texts and
            shards, as in `plan`.

    Raises:
        UsageError: A setting is unknown or out of range.
        SourceError: The source cannot be found or read, or already has these scores.
        PriorError: The model cannot be found or loaded, or fails on every text.
        RunError: The folder cannot be written, or contains another run; or shards failed. Finished shards are kept.

    Examples:
        >>> run = score("sample", "scores", scorer="perplexity", workers=0)  # doctest: +SKIP
        >>> run.dataset()["train"][0]["scores"]["perplexity"]["nll"]  # doctest: +SKIP
    """
    resources = Resources(token_budget, memory_fraction, tensor_parallel)
    return do_run(score_request(source, settings), folder, workers, resources, progress)


def score_request(source: str | PathLike[str], given: Mapping[str, Any]) -> RunRequest:
    """Check the arguments of `score`."""
    taken = Taken(given)
    origin, prior, shape = taken.source(source), taken.prior(), taken.shape()
    column = taken.some("scores_column")
    how = taken.rest("scorer", *SETTINGS)
    scorer = asked_scorer(how.pop("scorer", "perplexity"), prior, **how)
    return RunRequest(origin, ScoreTask(scorer, **column), **shape)
