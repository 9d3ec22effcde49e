"""The engine of tasks without a model: one shard runs in this process, several run in one process per core."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from types import TracebackType

from hf_toedit.config import Resources
from hf_toedit.engines.inline import InlineEngine
from hf_toedit.engines.local import LocalEngine, num_cpus
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import Task


class CoresEngine:
    """Starts processes only if there is work for several; see `Engine`."""

    def __init__(self, task: Task, resources: Resources) -> None:
        """Store the settings; no process is started yet.

        Args:
            task: What is done; it needs no model.
            resources: What each worker may use of this machine.
        """
        self._task = task
        self._resources = resources

    def ready(self) -> Task:
        """See `Engine.ready`."""
        return self._here.ready()

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Process shards; see `Engine.run`."""
        indices = list(indices)
        count = min(len(indices), num_cpus())
        if count < 2:
            self._here.run(plan, folder, indices, monitor)
            return
        with LocalEngine(self._task, self._resources, count) as workers:
            workers.run(plan, folder, indices, monitor)

    @cached_property
    def _here(self) -> InlineEngine:
        return InlineEngine(self._task, self._resources)

    def __enter__(self) -> CoresEngine:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: workers ended with their work."""
