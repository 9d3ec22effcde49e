"""The engine that runs nothing: runs are planned here, and their shards are processed elsewhere."""

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
    """Planned runs that must be finished before anything else can be done.

    Attributes:
        folders: Their run folders.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        super().__init__(", ".join(folders))
        self.folders = folders


class ElsewhereEngine:
    """Leaves shards to other machines; see `Engine`."""

    def __init__(self, task: Task) -> None:
        """Store the task, whose model is not loaded."""
        self._task = task

    def ready(self) -> Task:
        """Return the task, its model pinned; see `Engine.ready`."""
        return self._task.resolved()

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Process no shard.

        Raises:
            LeftToDo: Always.
        """
        raise LeftToDo([str(folder.root)])


def each_done(works: Mapping[str, Callable[[], Result]]) -> dict[str, Result]:
    """Call several functions and return their results; if some runs must be done elsewhere, plan all of them first.

    Args:
        works: Functions that each do a run.

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
