"""Edit runs, as created by `hf-toedit plan` and `hf-toedit edit`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import Taken, do_run, plan_run
from hf_toedit.api.engine import Workers
from hf_toedit.api.request import RunRequest
from hf_toedit.api.run import Run
from hf_toedit.checked import kinds
from hf_toedit.config import EditConfig, EditSettings, Resources, RunConfig
from hf_toedit.priors.fit import check_draw
from hf_toedit.settings import PriorSettings, SourceSettings
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import EditTask

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RunSettings(EditSettings, PriorSettings, SourceSettings, total=False):
    """Keyword arguments of `plan` and `edit`, named as on the command line."""

    config_name: str | None
    split: str | None
    generations: int
    edit_log_column: str | None
    score_result: bool | None
    flat_columns: bool
    preset: str
    shard_size: str
    num_shards: int | None


def plan(source: str | PathLike[str], folder: str | PathLike[str], **settings: Unpack[RunSettings]) -> Run[EditStats]:
    """Plan how a dataset is edited, as `hf-toedit plan` does; `Run.execute` then runs the plan.

    Args:
        source: Path, glob, folder, Hub id, `hf://` path, `urls:` and the path of a list, or `sample`.
        folder: Run folder, new or of the same run; on this machine, or an address in storage.
        **settings: Settings of the source (`config_name`, `split`, `revision`, `limit`, `columns`), of its texts
            (`text_column`, `context_columns`, `messages_column`, `roles`), of the prior (`prior`, `prior_revision`,
            `dtype`, `device`, `trust_remote_code`, `backend`, `prune`), of the run (`generations`, `edit_log_column`,
            `score_result`, `flat_columns`, `shard_size`, `num_shards`), `preset`, and the fields of `EditConfig`.

    Raises:
        UsageError: A setting is unknown or out of range.
        SourceError: The source cannot be found, read, or edited as requested.
        PriorError: The prior cannot be found.
        RunError: The folder cannot be written, or contains another run; the message lists the settings that differ.

    Examples:
        >>> plan("sample", "run", generations=2).execute()  # doctest: +SKIP
    """
    return plan_run(edit_request(source, settings), folder)


def edit(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    workers: Workers = "auto",
    token_budget: int | None = None,
    memory_fraction: float = 0.9,
    tensor_parallel: int = 1,
    progress: bool = True,
    **settings: Unpack[RunSettings],
) -> Run[EditStats]:
    """Edit a dataset into a run folder, as `hf-toedit edit` does; an interrupted run is continued.

    Args:
        source: Source; see `plan`, as for `folder` and the settings.
        folder: Run folder.
        workers: Number of worker processes; `auto` is one per GPU, or one on a CPU; 0 edits in this process.
        token_budget: See `Resources`, as for `memory_fraction` and `tensor_parallel`.
        memory_fraction: Share of a GPU's memory that may be used.
        tensor_parallel: Number of GPUs that share one copy of the prior.
        progress: Show a progress bar, in a terminal or a notebook.
        **settings: See `plan`.

    Raises:
        UsageError, SourceError, PriorError: As in `plan`.
        RunError: As in `plan`; or shards failed, or no text could be read. Finished shards are kept.

    Examples:
        >>> run = edit("sample", "run", workers=0, seed=1)  # doctest: +SKIP
        >>> run.stats().changed_rate  # doctest: +SKIP
    """
    resources = Resources(token_budget, memory_fraction, tensor_parallel)
    return do_run(edit_request(source, settings), folder, workers, resources, progress)


def edit_request(source: str | PathLike[str], given: Mapping[str, Any]) -> RunRequest:
    """Check the arguments of `plan` and `edit`."""
    taken = Taken(given)
    preset, shape = taken.some("preset").get("preset", "toedit"), taken.shape()
    origin = taken.source(source)
    prior = taken.prior()
    run = RunConfig.from_mapping(taken.some(*kinds(RunConfig)))
    edit = EditConfig.from_preset(preset, **taken.rest(*kinds(EditConfig)))
    check_draw(prior, edit)
    return RunRequest(origin, EditTask(prior, edit, run), **shape)
