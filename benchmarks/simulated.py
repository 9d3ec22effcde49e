"""Workers that are simulated, on an event queue's time, told what to do as an engine tells real ones."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from math import exp
from typing import Any

import numpy as np

from hf_toedit.runs.engines.base import Queue, told
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats

GENERATION = 1
TOKENS_A_ROW = 8

Worker = Iterator[float | None]
"""A worker and those that come in its place: says when it goes on, or None where there is nothing to do."""


@dataclass(frozen=True)
class World:
    """What is simulated; times are in seconds of simulated time.

    Attributes:
        num_shards: of the plan.
        num_workers: at a time; one that dies is replaced.
        rows_a_shard: the monitor is told of each.
        median: of the time that a worker takes for a shard, log-normal.
        sigma: of its logarithm; at 1, one time in a thousand is 22 times the median.
        start: time until a worker has loaded the prior.
        mean_life: of a worker, exponential.
        unsaid: share of the deaths that come when a shard is written, and the driver has not been told.
        num_kills: of the driver, at random moments.
        down: time until there is another.
        seed: of all that is drawn.
    """

    num_shards: int = 100_000
    num_workers: int = 1000
    rows_a_shard: int = 10
    median: float = 60.0
    sigma: float = 1.0
    start: float = 120.0
    mean_life: float = 3600.0
    unsaid: float = 0.1
    num_kills: int = 3
    down: float = 60.0
    seed: int = 0

    @property
    def ideal(self) -> float:
        """Time that the shards would take if workers never died, never waited, and all finished at once."""
        return self.num_shards * self.median * exp(self.sigma**2 / 2) / self.num_workers

    def kills(self) -> list[float]:
        """When the driver is killed."""
        return sorted(np.random.default_rng([self.seed, 0]).uniform(0, self.ideal, self.num_kills).tolist())


@dataclass(frozen=True)
class Life:
    """Of one driver: its number, from 1, and the simulated times at which it begins and is killed."""

    number: int
    began: float
    until: float


class SimulatedEngine:
    """Workers that are simulated, told what to do by the real queue; see `Engine`.

    Attributes:
        now: simulated time.
        seconds: of the driver's own code, by what it did.
        cpu_seconds: of that code in all.
        longest: the same of the longest call.
        calls: how many there were.
        counts: what happened.
        busy: simulated time of workers that went into shards that were then done.
        lost: the same, into those that were not.
    """

    def __init__(
        self, world: World, life: Life, written: Callable[[int], None], die: Callable[[SimulatedEngine], None]
    ) -> None:
        """Nothing runs yet.

        Args:
            world: what is simulated.
            life: of the driver.
            written: writes a shard, unless it is there.
            die: ends the driver, and does not return.
        """
        self.now = life.began
        self.seconds: Counter[str] = Counter()
        self.longest: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.cpu_seconds = self.busy = self.lost = 0.0
        self._world = world
        self._until = life.until
        self._written = written
        self._die = die
        self._random = np.random.default_rng([world.seed, life.number])
        self._events: list[tuple[float, int, Worker]] = []
        self._num_events = 0
        self._idle: deque[Worker] = deque()
        self._began: dict[int, float] = {}
        self._told = told(row_stats())

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Have shards edited, up to the end or up to the driver's; see `Engine.run`."""
        waiting = self._timed("queue", Queue, plan, indices)
        for number in range(self._world.num_workers):
            self._at(self.now, self._worker(number, plan, waiting, monitor))
        while waiting or self._began:
            at, _, worker = heappop(self._events)
            if at > self._until:
                self.now = self._until
                self.lost += sum(self.now - began for began in self._began.values())
                self._die(self)
            self.now = at
            until = next(worker)
            if until is None:
                self._idle.append(worker)
            else:
                self._at(until, worker)

    def _worker(self, number: int, plan: Plan, waiting: Queue, monitor: Monitor) -> Worker:
        while True:
            yield self.now + self._world.start
            lives = True
            while lives:
                if not waiting:
                    yield None
                    continue
                index = self._timed("take", waiting.take)
                self._timed("began", monitor.began, number, index)
                lives = yield from self._attempt(number, plan.shards[index], monitor)
                self.counts["attempts"] += 1
                self.counts["deaths"] += not lives
                spent = self.now - self._began.pop(number)
                if lives:
                    self._written(index)
                    self.busy += spent
                    self._timed("done", monitor.done, number)
                    continue
                if self._random.random() < self._world.unsaid:
                    self._written(index)
                    self.counts["unsaid"] += 1
                self.lost += spent
                self._timed("give back", waiting.give_back, index, number, monitor, "simulated death")
                if waiting and self._idle:
                    self._at(self.now, self._idle.popleft())

    def _attempt(self, number: int, shard: Shard, monitor: Monitor) -> Generator[float, None, bool]:
        """Edit a shard row by row; returns whether the worker lived to its end."""
        began = self._began[number] = self.now
        takes = self._world.median * self._random.lognormal(0.0, self._world.sigma)
        dies = began + self._random.exponential(self._world.mean_life)
        num_rows = shard.num_rows or 0
        for row in range(1, num_rows + 1):
            through = began + takes * row / num_rows
            yield min(through, dies)
            if dies < through:
                return False
            self._timed("rows", monitor.rows, number, GENERATION, self._told)
        return True

    def _at(self, when: float, worker: Worker) -> None:
        self._num_events += 1
        heappush(self._events, (when, self._num_events, worker))

    def _timed(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        began, cpu_began = time.perf_counter(), time.process_time()
        result = function(*arguments)
        took = time.perf_counter() - began
        self.cpu_seconds += time.process_time() - cpu_began
        self.seconds[name] += took
        self.longest[name] = max(self.longest[name], took)
        self.calls[name] += 1
        return result


def row_stats() -> EditStats:
    """Of one row, as full as real ones are."""
    stats = EditStats(num_rows=1, seconds={"tokenize": 0.1, "score": 0.1, "edit": 0.1})
    stats.add_scores(np.log(np.linspace(0.1, 0.999, TOKENS_A_ROW, dtype=np.float32)))
    return stats
