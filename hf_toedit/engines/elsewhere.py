"""The engine that does nothing: runs are planned here, and their shards are done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from hf_toedit.runs.monitor import Monitor
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.task import Task

Result = TypeVar("Result")


class LeftToDo(Exception):
    """Runs that are planned and must be done before anything else can be.

    Attributes:
        folders: Their folders.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        super().__init__(", ".join(folders))
        self.folders = folders


class ElsewhereEngine:
    """Leaves shards to others; see `Engine`."""

    def __init__(self, task: Task) -> None:
        """Take the task, whose model is not loaded."""
        self._task = task

    def ready(self) -> Task:
        """The task, its model pinned; see `Engine.ready`."""
        return self._task.resolved()

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Do no shard.

        Raises:
            LeftToDo: Always.
        """
        raise LeftToDo([str(folder.root)])


def each_done(works: Mapping[str, Callable[[], Result]]) -> dict[str, Result]:
    """What several pieces of work return; where some are left to do elsewhere, all of them are planned first.

    Args:
        works: Each does a run.

    Raises:
        LeftToDo: Some runs are not done.
    """
    done: dict[str, Result] = {}
    left: list[str] = []
    for name, work in works.items():
        try:
            done[name] = work()
        except LeftToDo as error:
            left += error.folders
    if left:
        raise LeftToDo(left)
    return done
