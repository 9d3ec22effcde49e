"""What engines with workers of their own share: shards are handed out, answers followed, deaths survived.

How workers are started, and how orders reach them, is for each engine to say.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from hf_toedit import errors
from hf_toedit.config import PriorConfig
from hf_toedit.engines.base import MAX_TRIES, Queue, ReadyPrior
from hf_toedit.engines.worker import Answer
from hf_toedit.errors import RunError
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """A worker as its engine sees it.

    Attributes:
        number: its place among the workers.
        prior: what it loaded; None while it loads.
        shard: what it is doing; None where it waits.
    """

    number: int
    prior: ReadyPrior | None
    shard: int | None

    def order(self, **order: Any) -> None:
        """Tell it what to do."""


AnyWorker = TypeVar("AnyWorker", bound=Worker)


class Dispatcher(ABC, Generic[AnyWorker]):
    """An engine whose workers are other processes; see `Engine`, and `engines.worker` for what they are told and say.

    Of a worker that is gone, an engine itself says {"died": why}, or {"lost": why} where its whole machine is gone.
    """

    _advice: ClassVar[str]
    """What may help where workers die while they load the prior."""

    def __init__(self) -> None:
        """No worker yet."""
        self._workers: dict[int, AnyWorker] = {}
        self._early_deaths: Counter[int] = Counter()

    def ready(self) -> ReadyPrior:
        """Wait for the first worker that has the prior; see `Engine.ready`."""
        while True:
            for worker in self._workers.values():
                if worker.prior is not None:
                    return worker.prior
            for worker, answer in self._hear():
                self._handle(worker, answer)

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Edit shards; see `Engine.run`."""
        waiting = Queue(plan, indices)
        root = str(folder.root)
        if "://" not in root:
            root = os.path.abspath(root)
        while num_open := len(waiting) + sum(worker.shard is not None for worker in self._workers.values()):
            self._hire(num_open)
            for worker in self._workers.values():
                if waiting and worker.prior is not None and worker.shard is None:
                    worker.shard = waiting.take()
                    monitor.began(worker.number, worker.shard)
                    worker.order(run=root, plan=plan.content_hash, shard=worker.shard)
            for worker, answer in self._hear():
                self._follow(worker, answer, waiting, monitor)
            monitor.beat()

    @abstractmethod
    def _hire(self, num_shards: int) -> None:
        """Start more workers, as far as there is room for them and they have shards to do."""

    @abstractmethod
    def _hear(self) -> list[tuple[AnyWorker, Answer]]:
        """What workers answer; after a second at most, even if that is nothing."""

    @abstractmethod
    def _renew(self, worker: AnyWorker) -> None:
        """See that another comes in the place of a worker that is gone."""

    @abstractmethod
    def _drop(self, worker: AnyWorker) -> None:
        """See that no other comes in its place."""

    def _follow(self, worker: AnyWorker, answer: Answer, waiting: Queue, monitor: Monitor) -> None:
        """What an answer means for the shards."""
        shard = worker.shard
        if "counts" in answer:
            monitor.rows(worker.number, answer["generation"], answer["counts"])
        elif "done" in answer:
            worker.shard = None
            monitor.done(worker.number)
        elif "failed" in answer:
            worker.shard = None
            waiting.give_back(answer["failed"], worker.number, monitor, answer["reason"])
        else:
            self._handle(worker, answer)
            if shard is not None and "died" in answer:
                waiting.give_back(shard, worker.number, monitor, answer["died"])
            elif shard is not None and "lost" in answer:
                waiting.take_back(shard, worker.number, monitor, answer["lost"])

    def _handle(self, worker: AnyWorker, answer: Answer) -> None:
        """What an answer means for the worker."""
        if "ready" in answer:
            worker.prior = ReadyPrior(PriorConfig(**answer["ready"]["config"]), answer["ready"]["revision"])
            self._early_deaths[worker.number] = 0
        elif "fatal" in answer:
            raise getattr(errors, answer["kind"])(answer["fatal"])
        elif "log" in answer:
            logger.warning(answer["log"])
        elif "lost" in answer:
            self._renew(worker)
        elif "died" in answer:
            self._early_deaths[worker.number] += worker.prior is None
            if self._early_deaths[worker.number] < MAX_TRIES:
                self._renew(worker)
            else:
                self._do_without(worker, answer["died"])

    def _do_without(self, worker: AnyWorker, last_words: str) -> None:
        """Go on without a worker that dies as fast as it is started."""
        num_workers = len(self._workers)
        del self._workers[worker.number]
        self._drop(worker)
        fault = f"worker processes die before they have loaded the prior; the last one {last_words}."
        if not self._workers:
            raise RunError(f"{fault} Finished shards are kept; try {self._advice}.")
        logger.warning(f"{fault} The run goes on with {len(self._workers)} of {num_workers} workers.")
