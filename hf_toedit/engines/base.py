"""Shared parts of engines: the order of shards, retries, and reasons for failures."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Protocol

from hf_toedit.errors import OutOfMemory, PriorError, RunError
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import Task

MAX_TRIES = 3
"""Number of times that a shard is begun before the run continues without it."""

MAX_LOSSES = 10
"""Number of machine losses that do not count as a try of the shard; further ones do."""


class Engine(Protocol):
    """Calls `run_shard` for shards, in separate processes or in this one. A context manager."""

    def ready(self) -> Task:
        """Wait until the model is loaded by some worker.

        Returns:
            The task, its model pinned.

        Raises:
            PriorError: The model cannot be loaded.
        """
        ...

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Process shards; shards that fail at every try are reported to the monitor, and the others continue.

        Raises:
            RunError: The run folder cannot be written, or workers cannot be kept alive.
            PriorError: The model cannot be loaded, or fails on every text.
        """
        ...


class Queue:
    """Waiting shards, the largest first, so that small ones finish last."""

    def __init__(self, plan: Plan, indices: Iterable[int]) -> None:
        """Sort the shards."""
        self._waiting = deque(sorted(indices, key=lambda index: -plan.shards[index].num_bytes))
        self._tries: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()

    def __len__(self) -> int:
        """Return the number of waiting shards."""
        return len(self._waiting)

    def take(self) -> int:
        """Remove and return the next shard."""
        index = self._waiting.popleft()
        self._tries[index] += 1
        return index

    def give_back(self, index: int, worker: int, monitor: Monitor, reason: str) -> None:
        """Append a failed shard to the end of the queue, or give it up after `MAX_TRIES` tries."""
        if self._tries[index] < MAX_TRIES:
            self._waiting.append(index)
            monitor.stopped(worker)
        else:
            monitor.failed(worker, reason)

    def take_back(self, index: int, worker: int, monitor: Monitor, reason: str) -> None:
        """Take back a shard whose machine was lost, which does not count as a failure of the shard."""
        self._losses[index] += 1
        if self._losses[index] <= MAX_LOSSES:
            self._tries[index] -= 1
        self.give_back(index, worker, monitor, reason)


def check_planned(loaded: Task, plan: Plan) -> None:
    """Refuse to continue with a model, or code, that differs from the plan; see `Task.check_loaded`."""
    loaded.check_loaded(plan.task, plan.provenance.get("own", {}))


def reported(stats: Statistics, is_known: bool) -> dict[str, int]:
    """Return the counts of a batch of rows for a monitor; a batch that was known before counts no tokens as read."""
    return {**stats.progress(), "num_tokens_read": 0 if is_known else stats.num_tokens}


def ends_the_run(error: Exception) -> bool:
    """Whether an error affects every shard: the folder cannot be written, or the model cannot be used."""
    return isinstance(error, RunError | PriorError) and not isinstance(error, OutOfMemory)
