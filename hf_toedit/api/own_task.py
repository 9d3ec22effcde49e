"""Runs of any task, such as a user-defined one."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import Taken, do_run
from hf_toedit.api.engine import Workers
from hf_toedit.api.request import RunRequest
from hf_toedit.api.run import Run
from hf_toedit.config import Resources
from hf_toedit.runs.task import Task
from hf_toedit.settings import SourceSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack


class TaskSettings(SourceSettings, total=False):
    """Keyword arguments of `run_task`, for the source and its shards."""

    config_name: str | None
    split: str | None
    shard_size: str
    num_shards: int | None


def run_task(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    task: Task,
    *,
    workers: Workers = "auto",
    progress: bool = True,
    **settings: Unpack[TaskSettings],
) -> Run[Any]:
    """Run a task over the rows of a dataset; an interrupted run is continued.

    Args:
        source: Source; see `plan`, as for `folder`.
        folder: Run folder.
        task: The task; its class is installed as an entry point (docs/extending.md).
        workers: Number of worker processes; see `edit`.
        progress: Show a progress bar, in a terminal or a notebook.
        **settings: Settings of the source, its texts and shards, as in `plan`.

    Raises:
        UsageError: A setting is unknown or out of range.
        SourceError: The source cannot be found, read, or used by the task.
        RunError: The folder cannot be written, or contains another run; or shards failed. Finished shards are kept.
    """
    taken = Taken(settings)
    asked = RunRequest(taken.source(source), task, **taken.shape())
    taken.rest()
    return do_run(asked, folder, workers, Resources(), progress)
