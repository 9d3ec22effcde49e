"""Runs of any task, such as one of the user's own."""

from __future__ import annotations

from os import PathLike, fspath
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
    """What `run_task` takes as keyword arguments: of the source and its shards."""

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
    """Do a task to the rows of a dataset; what was interrupted goes on.

    Args:
        source: see `plan`, as is `folder`.
        folder: of the run.
        task: what is done; its class is installed as an entry point (docs/extending.md).
        workers: processes; see `edit`.
        progress: show a bar, in a terminal or a notebook.
        **settings: of the source, its texts and shards, as of `plan`.

    Raises:
        UsageError: a setting is unknown or out of range.
        SourceError: the source cannot be found, read, or used by the task.
        RunError: the folder cannot be written, or holds another run; or shards failed. What is done is kept.
    """
    taken = Taken(settings)
    asked = RunRequest(taken.source(fspath(source)), task, **taken.shape())
    taken.rest()
    return do_run(asked, fspath(folder), workers, Resources(), progress)
