"""Simulated workers, in the time of an event queue, driven like the real workers of engines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import exp

import numpy as np

from hf_toedit.engines.base import Queue, reported
from hf_toedit.engines.dispatch import Dispatcher
from hf_toedit.engines.messages import Answer, Died, Done, Lost, Order, Ready, Rows
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import Task
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import generation_pass

GENERATION = generation_pass(1)
TOKENS_A_ROW = 8


@dataclass(frozen=True)
class World:
    """Parameters of the simulation; times are in seconds of simulated time.

    Attributes:
        num_shards: Number of shards of the plan.
        num_workers: Number of concurrent workers; one that dies is replaced.
        rows_a_shard: Rows per shard; the monitor is notified of each.
        median: Median time of a worker for a shard, log-normal.
        sigma: Standard deviation of the logarithm; at 1, one time in a thousand is 22 times the median.
        start: Time until a worker has loaded the prior.
        mean_life: Mean lifetime of a worker, exponential.
        unsaid: Share of the deaths that occur when a shard is written, but before the driver is notified.
        lost: Share of the deaths that are those of machines, which is not the fault of the shards.
        hears_every: Interval at which the driver receives the messages of workers together.
        num_kills: Number of times that the driver is killed, at random moments.
        down: Time until the next driver starts.
        seed: Random seed.
    """

    num_shards: int = 100_000
    num_workers: int = 1000
    rows_a_shard: int = 10
    median: float = 60.0
    sigma: float = 1.0
    start: float = 120.0
    mean_life: float = 3600.0
    unsaid: float = 0.1
    lost: float = 0.5
    hears_every: float = 0.1
    num_kills: int = 3
    down: float = 60.0
    seed: int = 0

    @property
    def ideal(self) -> float:
        """Time for the shards if workers never died, never waited, and all finished at once."""
        return self.num_shards * self.median * exp(self.sigma**2 / 2) / self.num_workers

    def kills(self) -> list[float]:
        """Return the times at which the driver is killed."""
        return sorted(np.random.default_rng([self.seed, 0]).uniform(0, self.ideal, self.num_kills).tolist())


@dataclass(frozen=True)
class Life:
    """Life of one driver: its number, from 1, and the simulated times at which it starts and is killed."""

    number: int
    began: float
    until: float


class SimulatedWorker:
    """A worker and its replacements, as the driver sees them; see `dispatch.Worker`.

    Attributes:
        began: When it started its shard.
    """

    def __init__(self, number: int, told: list[SimulatedWorker]) -> None:
        """Start by loading the model."""
        self.number = number
        self.task: Task | None = None
        self.shard: int | None = None
        self.began = 0.0
        self._told = told
        told.append(self)

    def order(self, order: Order) -> None:
        """Receive the order to edit its shard."""
        self._told.append(self)


class SimulatedEngine(Dispatcher[SimulatedWorker]):
    """An engine of simulated workers, driven by the real dispatcher; see `Engine`.

    Attributes:
        now: Simulated time.
        seconds: Time of the driver's own code, by activity: handling an answer of some kind, or handing out shards.
        cpu_seconds: Total CPU time of that code.
        longest: Longest time of a single activity.
        calls: Number of times of each activity.
        counts: Number of events of each kind.
        busy: Simulated time of workers on shards that were finished.
        lost: Simulated time of workers on shards that were not finished.
    """

    _advice = "a larger --mean-life"

    def __init__(
        self, world: World, life: Life, written: Callable[[int], None], die: Callable[[SimulatedEngine], None]
    ) -> None:
        """Prepare a simulation without workers.

        Args:
            world: Parameters of the simulation.
            life: Life of the driver.
            written: Writes a shard, unless it exists.
            die: Ends the driver, and does not return.
        """
        super().__init__()
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
        self._told: list[SimulatedWorker] = []
        self._events: list[tuple[float, int, SimulatedWorker, Answer]] = []
        self._num_events = 0
        self._row = Rows(GENERATION.name, reported(row_stats(), is_known=False))

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Edit the shards, until all are done or the driver dies; see `Engine.run`."""
        self._plan = plan
        self._ready = Ready(plan.task.to_json())
        self._go()
        super().run(plan, folder, indices, monitor)
        self._lap("hand out")

    def _hire(self, num_shards: int) -> None:
        for number in range(len(self._workers), min(self._world.num_workers, num_shards)):
            self._workers[number] = SimulatedWorker(number, self._told)

    def _renew(self, worker: SimulatedWorker) -> None:
        self._workers[worker.number] = SimulatedWorker(worker.number, self._told)

    def _drop(self, worker: SimulatedWorker) -> None:
        """Do nothing: the worker is dead already."""

    def _hear(self) -> list[tuple[SimulatedWorker, Answer]]:
        self._lap("hand out")
        for worker in self._told:
            if worker.shard is None:
                self._at(self.now + self._world.start, worker, self._ready)
            else:
                self._begin(worker, worker.shard)
        self._told.clear()
        heard = []
        until = self._events[0][0] + self._world.hears_every
        while self._events and self._events[0][0] <= until:
            at, _, worker, answer = heappop(self._events)
            if at > self._until:
                self.now = self._until
                self.lost += sum(self.now - other.began for other in self._workers.values() if other.shard is not None)
                self._die(self)
            self.now = at
            self._happens(worker, answer)
            heard.append((worker, answer))
        self._go()
        return heard

    def _begin(self, worker: SimulatedWorker, index: int) -> None:
        """Simulate the work on a shard: row by row to its end, or to the death of the worker."""
        worker.began = self.now
        self.counts["attempts"] += 1
        takes = self._world.median * self._random.lognormal(0.0, self._world.sigma)
        dies = self.now + self._random.exponential(self._world.mean_life)
        num_rows = self._plan.shards[index].num_rows or 0
        for row in range(1, num_rows + 1):
            through = self.now + takes * (row / num_rows)  # the last row no later than the end
            if dies < through:
                is_lost = self._random.random() < self._world.lost
                self._at(dies, worker, (Lost if is_lost else Died)("simulated"))
                return
            self._at(through, worker, self._row)
        self._at(self.now + takes, worker, Done(index))

    def _happens(self, worker: SimulatedWorker, answer: Answer) -> None:
        """Apply the effects of an event before the driver is notified."""
        if worker.shard is None or isinstance(answer, Rows):
            return
        is_done = isinstance(answer, Done)
        spent = self.now - worker.began
        self.busy, self.lost = self.busy + spent * is_done, self.lost + spent * (not is_done)
        worker.began = self.now
        self.counts["deaths"] += not is_done
        self.counts["machines"] += isinstance(answer, Lost)
        is_unsaid = not is_done and self._random.random() < self._world.unsaid
        self.counts["unsaid"] += is_unsaid
        if is_done or is_unsaid:
            self._written(worker.shard)

    def _follow(self, worker: SimulatedWorker, answer: Answer, waiting: Queue, monitor: Monitor) -> None:
        super()._follow(worker, answer, waiting, monitor)
        self._lap(type(answer).__name__.lower())

    def _at(self, when: float, worker: SimulatedWorker, answer: Answer) -> None:
        self._num_events += 1
        heappush(self._events, (when, self._num_events, worker, answer))

    def _go(self) -> None:
        """Start timing the driver's code."""
        self._clock, self._cpu_clock = time.perf_counter(), time.process_time()

    def _lap(self, name: str) -> None:
        """Record the time of an activity."""
        took = time.perf_counter() - self._clock
        self.cpu_seconds += time.process_time() - self._cpu_clock
        self.seconds[name] += took
        self.longest[name] = max(self.longest[name], took)
        self.calls[name] += 1
        self._go()


def row_stats() -> EditStats:
    """Return statistics of one row, as detailed as real ones."""
    stats = EditStats(num_rows=1, seconds={"tokenize": 0.1, "score": 0.1, "edit": 0.1})
    stats.add_scores(np.log(np.linspace(0.1, 0.999, TOKENS_A_ROW, dtype=np.float32)))
    return stats
