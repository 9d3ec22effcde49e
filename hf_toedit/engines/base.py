"""What engines share: the order of shards, tries, and why a shard failed."""

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
"""How often a shard is begun before the run goes on without it."""

MAX_LOSSES = 10
"""How often the loss of its machine is no fault of a shard; from then on it counts as a try."""


class Engine(Protocol):
    """Calls `run_shard` for shards, in processes of its own or in this one. A context manager."""

    def ready(self) -> Task:
        """Wait until the model is loaded somewhere.

        Returns:
            The task, its model pinned.

        Raises:
            PriorError: it cannot be loaded.
        """
        ...

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Do shards; those that fail at every try are reported to the monitor, and the rest goes on.

        Raises:
            RunError: the run folder cannot be written, or workers cannot live.
            PriorError: the model cannot be loaded, or fails on every text.
        """
        ...


class Queue:
    """Shards that wait, the largest first: the last to finish should be small."""

    def __init__(self, plan: Plan, indices: Iterable[int]) -> None:
        """Put them in order."""
        self._waiting = deque(sorted(indices, key=lambda index: -plan.shards[index].num_bytes))
        self._tries: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self) -> int:
        """The next one."""
        index = self._waiting.popleft()
        self._tries[index] += 1
        return index

    def give_back(self, index: int, worker: int, monitor: Monitor, reason: str) -> None:
        """Put a shard that failed at the end or, where it has been tried often enough, give it up."""
        if self._tries[index] < MAX_TRIES:
            self._waiting.append(index)
            monitor.stopped(worker)
        else:
            monitor.failed(worker, reason)

    def take_back(self, index: int, worker: int, monitor: Monitor, reason: str) -> None:
        """The same with a shard whose machine was lost, which is no fault of it."""
        self._losses[index] += 1
        if self._losses[index] <= MAX_LOSSES:
            self._tries[index] -= 1
        self.give_back(index, worker, monitor, reason)


def check_planned(loaded: Task, plan: Plan) -> None:
    """Refuse to go on with another model, or code, than was planned; see `Task.check_loaded`."""
    loaded.check_loaded(plan.task, plan.provenance.get("own", {}))


def told(stats: Statistics, is_known: bool) -> dict[str, int]:
    """What a monitor is told of a batch of rows; nothing was read for one that was known before."""
    return {**stats.progress(), "num_tokens_read": 0 if is_known else stats.num_tokens}


def ends_the_run(error: Exception) -> bool:
    """Whether an error concerns every shard: the folder cannot be written, or the model not be used."""
    return isinstance(error, RunError | PriorError) and not isinstance(error, OutOfMemory)
