"""Shared parts of engines with separate workers: distribute shards, handle answers, replace dead workers.

Each engine defines how workers are started and how orders reach them.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Generic, Protocol, TypeVar

from hf_toedit import errors
from hf_toedit.engines.base import MAX_TRIES, Queue
from hf_toedit.engines.messages import Answer, Died, Done, Failed, Fatal, Lost, Order, Ready, Rows, Warned, Work
from hf_toedit.errors import RunError
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import Task

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """An engine's view of a worker.

    Attributes:
        number: Index of the worker.
        task: Its task, once the model is loaded; None while it loads.
        shard: Index of its current shard; None while it waits.
    """

    number: int
    task: Task | None
    shard: int | None

    def order(self, order: Order) -> None:
        """Send an order to the worker."""


AnyWorker = TypeVar("AnyWorker", bound=Worker)


class Dispatcher(ABC, Generic[AnyWorker]):
    """An engine whose workers are other processes; see `Engine`, and `engines.worker` for orders and answers.

    For a worker that is gone, the engine itself generates `Died`, or `Lost` if its whole machine is gone.
    """

    _advice: ClassVar[str]
    """Advice for the case that workers die while they load the model."""

    def __init__(self) -> None:
        """Start without workers."""
        self._workers: dict[int, AnyWorker] = {}
        self._early_deaths: Counter[int] = Counter()

    def ready(self) -> Task:
        """Wait for the first worker that has loaded the model; see `Engine.ready`."""
        while True:
            for worker in self._workers.values():
                if worker.task is not None:
                    return worker.task
            for worker, answer in self._hear():
                self._handle(worker, answer)

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Process shards; see `Engine.run`."""
        waiting = Queue(plan, indices)
        root = str(folder.root)
        if "://" not in root:
            root = os.path.abspath(root)
        passes = [pass_.name for pass_ in plan.passes]
        while num_open := len(waiting) + sum(worker.shard is not None for worker in self._workers.values()):
            self._hire(num_open)
            for worker in self._workers.values():
                if waiting and worker.task is not None and worker.shard is None:
                    worker.shard = waiting.take()
                    monitor.began(worker.number, worker.shard)
                    worker.order(Work(root, plan.content_hash, passes, worker.shard))
            for worker, answer in self._hear():
                self._follow(worker, answer, waiting, monitor)
            monitor.beat()

    @abstractmethod
    def _hire(self, num_shards: int) -> None:
        """Start more workers, as long as there is room for them and shards to process."""

    @abstractmethod
    def _hear(self) -> list[tuple[AnyWorker, Answer]]:
        """Return the answers of workers, after at most a second even if there are none."""

    @abstractmethod
    def _renew(self, worker: AnyWorker) -> None:
        """Replace a worker that is gone."""

    @abstractmethod
    def _drop(self, worker: AnyWorker) -> None:
        """Make sure that a worker is not replaced."""

    def _follow(self, worker: AnyWorker, answer: Answer, waiting: Queue, monitor: Monitor) -> None:
        """Apply an answer to the state of the shards."""
        shard = worker.shard
        match answer:
            case Rows():
                monitor.rows(worker.number, answer.pass_name, answer.counts)
            case Done():
                worker.shard = None
                monitor.done(worker.number)
            case Failed():
                worker.shard = None
                waiting.give_back(answer.shard, worker.number, monitor, answer.reason)
            case _:
                self._handle(worker, answer)
                if shard is not None and isinstance(answer, Died):
                    waiting.give_back(shard, worker.number, monitor, answer.why)
                elif shard is not None and isinstance(answer, Lost):
                    waiting.take_back(shard, worker.number, monitor, answer.why)

    def _handle(self, worker: AnyWorker, answer: Answer) -> None:
        """Apply an answer to the state of the worker."""
        match answer:
            case Ready():
                worker.task = Task.from_json_value(answer.task, "task")
                self._early_deaths[worker.number] = 0
            case Fatal():
                raise getattr(errors, answer.kind)(answer.message)
            case Warned():
                logger.warning(answer.message)
            case Lost():
                self._renew(worker)
            case Died():
                self._early_deaths[worker.number] += worker.task is None
                if self._early_deaths[worker.number] < MAX_TRIES:
                    self._renew(worker)
                else:
                    self._do_without(worker, answer.why)

    def _do_without(self, worker: AnyWorker, last_words: str) -> None:
        """Continue without a worker that repeatedly dies while starting."""
        num_workers = len(self._workers)
        del self._workers[worker.number]
        self._drop(worker)
        fault = f"worker processes die before they have loaded the prior; the last one {last_words}."
        if not self._workers:
            raise RunError(f"{fault} Finished shards are kept; try {self._advice}.")
        logger.warning(f"{fault} The run continues with {len(self._workers)} of {num_workers} workers.")
