"""Runs of scores, as `hf-toedit score` makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
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
    """Of a source, its shards, and a scorer, named as on the command line."""

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
    """What `score` takes as keyword arguments."""

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
    """Give each row of a dataset numbers, as `hf-toedit score` does; what was interrupted goes on.

    Args:
        source: see `plan`, as is `folder`.
        folder: of the run.
        workers: see `edit`, as are `token_budget`, `memory_fraction`, `tensor_parallel` and `progress`.
        token_budget: tokens that a forward pass aims at.
        memory_fraction: share of a GPU's memory that may be used.
        tensor_parallel: GPUs that share one copy of the model.
        progress: show a bar, in a terminal or a notebook.
        **settings: `scorer`: `perplexity` of the prior, `classifier`, or `module:Class`; `scores_column`: struct column
            of the scores; of the classifier (`model`, `model_revision`, `labels`: whose logits are kept, `truncate`:
            read the first part of a long text only); of the prior, the source, its texts and shards, as of `plan`.

    Raises:
        UsageError: a setting is unknown or out of range.
        SourceError: the source cannot be found or read, or has these scores already.
        PriorError: the model cannot be found or loaded, or fails on every text.
        RunError: the folder cannot be written, or holds another run; or shards failed. What is done is kept.

    Examples:
        >>> run = score("sample", "scores", scorer="perplexity", workers=0)  # doctest: +SKIP
        >>> run.dataset()["train"][0]["scores"]["perplexity"]["nll"]  # doctest: +SKIP
    """
    resources = Resources(token_budget, memory_fraction, tensor_parallel)
    return do_run(score_request(fspath(source), settings), fspath(folder), workers, resources, progress)


def score_request(source: str, given: Mapping[str, Any]) -> RunRequest:
    """What `score` is given, checked."""
    taken = Taken(given)
    origin, prior, shape = taken.source(source), taken.prior(), taken.shape()
    column = taken.some("scores_column")
    how = taken.rest("scorer", *SETTINGS)
    scorer = asked_scorer(how.pop("scorer", "perplexity"), prior, **how)
    return RunRequest(origin, ScoreTask(scorer, **column), **shape)
