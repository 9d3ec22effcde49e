"""The engine that works in this process (`--workers 0`), for debuggers and small machines."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from types import TracebackType

from hf_toedit.config import Resources
from hf_toedit.engines.base import Queue, check_planned, ends_the_run, reported
from hf_toedit.errors import reason
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import LoadedTask, Task


class InlineEngine:
    """Processes shards in this process, one after the other; see `Engine`."""

    def __init__(self, task: Task, resources: Resources) -> None:
        """Store the settings; no model is loaded yet.

        Args:
            task: What is done.
            resources: What its model may use of this machine.
        """
        self._task = task
        self._resources = resources

    def ready(self) -> Task:
        """Load the model; see `Engine.ready`."""
        return self._loaded[0]

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Process shards; see `Engine.run`."""
        from hf_toedit.runs.shard import run_shard

        def progress(pass_: Pass, stats: Statistics, is_known: bool) -> None:
            monitor.rows(0, pass_.name, reported(stats, is_known))

        task, loaded = self._loaded
        check_planned(task, plan)
        waiting = Queue(plan, indices)
        while waiting:
            index = waiting.take()
            monitor.began(0, index)
            try:
                run_shard(plan, index, loaded, folder, progress)
            except Exception as error:
                if ends_the_run(error):
                    raise
                waiting.give_back(index, 0, monitor, reason(error))
            else:
                monitor.done(0)

    @cached_property
    def _loaded(self) -> tuple[Task, LoadedTask]:
        return self._task.load(self._resources)

    def __enter__(self) -> InlineEngine:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is no process to stop."""
