"""The engine of a Ray cluster: actors, each with the model loaded once, on all nodes that have room for them.

Ray restarts an actor whose process or node died; the driver, this process, gives its shard to the next free actor.
Actors belong to the driver, so Ray ends them when the driver dies. Actors report through the answers to calls: at most
one call per actor is open at a time, and it is answered at most once per second during a shard.

Import this module only when needed: it imports Ray.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnschedulableError, RayError, RayTaskError, RuntimeEnvSetupError

from hf_toedit.config import Resources
from hf_toedit.engines.actor import BEAT_S, ActorAddress, ToEditWorker
from hf_toedit.engines.dispatch import Dispatcher
from hf_toedit.engines.messages import Answer, Died, Lost, Order, Setup
from hf_toedit.engines.ray_cluster import connect
from hf_toedit.errors import RunError, UsageError
from hf_toedit.runs.task import Task
from hf_toedit.storage.temporary import is_alive

logger = logging.getLogger(__name__)

_STOP_S = 3.0
_HIRE_EVERY_S = 2.0
_NO_ROOM_AFTER_S = 30.0
_MISSED_FOR_S = 60.0
"""Seconds after which an unreachable actor counts as dead; Ray detects a lost node sooner."""


class RayEngine(Dispatcher["_Worker"]):
    """Actors on a Ray cluster; see `Engine`."""

    _advice = "a smaller --token-budget, a smaller prior, or nodes with more memory"

    def __init__(
        self,
        task: Task,
        resources: Resources,
        address: str = "auto",
        num_workers: int | None = None,
        cpus_per_worker: int = 1,
        gpus_per_worker: int | None = None,
    ) -> None:
        """Connect to the cluster, unless this process is connected already, and start the first actor.

        Args:
            task: What is done.
            resources: What each worker may use of its node.
            address: Address of the cluster; `auto` uses `RAY_ADDRESS`, or the cluster that runs on this machine.
            num_workers: Maximum number of actors; None starts as many as there is room for, throughout the run.
            cpus_per_worker: CPUs that Ray reserves per actor, which is also its number of threads.
            gpus_per_worker: GPUs that Ray reserves per actor; None reserves as many as share a model if the cluster has
                GPUs.

        Raises:
            RunError: There is no such cluster.
            UsageError: The device conflicts with the number of GPUs, or it names a device that only Ray can choose.
        """
        super().__init__()
        num_gpus = _num_gpus(task.device, gpus_per_worker, resources.tensor_parallel)
        self._was_connected = ray.is_initialized()
        if not self._was_connected:
            connect(address)
        if num_gpus is None:
            num_gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self._needs = {"CPU": cpus_per_worker, "GPU": num_gpus}
        self._setup = Setup(task.to_json(), resources)
        self._num_wanted = num_workers
        self._num_started = 0
        self._num_dropped = 0
        self._hire_at = self._had_room_at = time.monotonic()
        self._start()

    def _hire(self, num_shards: int) -> None:
        now = time.monotonic()
        if now < self._hire_at:
            return
        self._hire_at = now + _HIRE_EVERY_S
        num_wanted = self._num_wanted or len(self._workers) + self._room()
        while len(self._workers) < min(num_wanted - self._num_dropped, num_shards):
            self._start()

    def _hear(self) -> list[tuple[_Worker, Answer]]:
        self._tell_of_no_room()
        for worker in self._workers.values():
            worker.listen()
        calls = {worker.call: worker for worker in self._workers.values() if worker.call is not None}
        if not calls:
            time.sleep(BEAT_S)
            return []
        answered, _ = ray.wait(list(calls), timeout=BEAT_S)
        if answered:
            answered, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return [(calls[call], answer) for call in answered for answer in calls[call].answers()]

    def _renew(self, worker: _Worker) -> None:
        worker.task = worker.shard = None  # Ray itself restarts the actor

    def _drop(self, worker: _Worker) -> None:
        self._num_dropped += 1
        worker.end()

    def _start(self) -> None:
        actor = ray.remote(ToEditWorker).options(
            num_cpus=self._needs["CPU"], num_gpus=self._needs["GPU"], max_restarts=-1, max_task_retries=0
        )
        self._workers[self._num_started] = _Worker(self._num_started, actor.remote(os.getcwd(), self._setup))
        self._num_started += 1

    def _room(self) -> int:
        """Return how many more actors fit into the cluster now; 0 while an actor waits for resources."""
        if any(worker.place is None for worker in self._workers.values()):
            return 0
        free = ray.available_resources()
        return min(int(free.get(name, 0) // amount) for name, amount in self._needs.items() if amount)

    def _tell_of_no_room(self) -> None:
        """Warn, once, if Ray has had no room for any actor for a while; the engine then waits for room."""
        now = time.monotonic()
        if any(worker.place is not None for worker in self._workers.values()):
            self._had_room_at = now
        elif now - self._had_room_at > _NO_ROOM_AFTER_S:
            self._had_room_at = float("inf")
            has = ray.cluster_resources()
            logger.warning(
                f"no node of the Ray cluster has room for a worker, which needs {_amounts(self._needs)}; all nodes "
                f"together have {_amounts(has)}, and others may use them. Waiting."
            )

    def __enter__(self) -> RayEngine:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all actors within seconds, even in the middle of their work; the cluster keeps running."""
        for worker in self._workers.values():
            worker.end()
        until = time.monotonic() + _STOP_S
        while any(worker.is_alive_here for worker in self._workers.values()) and time.monotonic() < until:
            time.sleep(0.05)
        if not self._was_connected:
            ray.shutdown()


class _Worker:
    """The driver's view of an actor; see `Worker`.

    Attributes:
        place: Its last known location; None while it waits to be started.
        call: The open call; None if there is none.
    """

    def __init__(self, number: int, actor: Any) -> None:
        self.number = number
        self.task: Task | None = None
        self.shard: int | None = None
        self.place: ActorAddress | None = None
        self.call: Any = None
        self._actor = actor
        self._life: str | None = None
        self._is_met = False
        self._missed_at: float | None = None
        self._call_at = 0.0

    def order(self, order: Order) -> None:
        """Send an order; an actor without a shard has no open call."""
        self.call = self._actor.answers.remote(self._life, order)

    def listen(self) -> None:
        """Open a call, unless one is open or no answer is expected."""
        if self.call is not None or time.monotonic() < self._call_at:
            return
        if not self._is_met:
            self.call = self._actor.place.remote()
        elif self.task is None or self.shard is not None:
            self.call = self._actor.answers.remote(self._life, None)

    def answers(self) -> list[Answer]:
        """Return the answers of the finished call."""
        call, self.call = self.call, None
        try:
            said = ray.get(call)
        except RayTaskError:
            raise
        except (ActorDiedError, ActorUnschedulableError, RuntimeEnvSetupError) as error:  # gone permanently
            raise RunError(ended(error)) from error
        except RayError:
            return self._miss()
        if isinstance(said, ActorAddress):
            return self._meet(said)
        if isinstance(said[-1], Died):  # only the actor's loop died
            self._restart()
            self.place = None
        return said

    def end(self) -> None:
        """Stop the actor permanently."""
        with suppress(RayError):
            ray.kill(self._actor)

    @property
    def is_alive_here(self) -> bool:
        """Whether the actor runs on this machine."""
        return self.place is not None and self.place.host == platform.node() and is_alive(self.place.pid)

    def _restart(self) -> None:
        self._is_met = False
        self._call_at = time.monotonic() + BEAT_S
        ray.kill(self._actor, no_restart=False)

    def _miss(self) -> list[Answer]:
        """Handle an unreachable actor.

        Ray restarts it after finding out why it died, and only then is the reason known here.
        """
        now = time.monotonic()
        self._is_met = False
        self._missed_at = self._missed_at or now
        self._call_at = now + BEAT_S
        if self.place is None:
            return []
        is_lost = not _is_node_alive(self.place.node)
        return self._mourn(None) if is_lost or now - self._missed_at > _MISSED_FOR_S else []

    def _meet(self, place: ActorAddress) -> list[Answer]:
        """Handle the location of an actor that was started, perhaps again."""
        if place.life == self._life:
            self._restart()  # it is alive, but an unknown answer was lost
            return []
        self._life, self._is_met, self._missed_at = place.life, True, None
        return self._mourn(place)

    def _mourn(self, place: ActorAddress | None) -> list[Answer]:
        """Report how the actor ended at its old location; `place` is the new one, or None if there is none yet."""
        before, self.place = self.place, place
        if before is None:
            return []
        if not _is_node_alive(before.node):
            return [Lost(f"its node was lost ({before.host})")]
        logs = f"Ray's logs on that node may show why: worker-*-{before.pid}.err"
        return [Died(f"died on {before.host} (out of memory?); {logs}")]


def ended(error: RayError) -> str:
    """Explain why a worker is gone and will not be replaced, with advice."""
    words = " ".join(str(error).split())[-500:].rstrip(".")
    if isinstance(error, RuntimeEnvSetupError) or re.search(r"ImportError|ModuleNotFoundError|AttributeError", words):
        return f"a worker cannot be started: {words}. Every node needs the same version of hf-toedit as this machine."
    if isinstance(error, ActorDiedError) and error.actor_init_failed:
        return f"a worker cannot be started: {words}. Ray's logs on its node have details: worker-*.err"
    if isinstance(error, ActorUnschedulableError):
        return f"no node accepts a worker: {words}. Add nodes; the same command continues where it stopped."
    return (
        f"a worker was lost, and Ray does not restart it: {words}. Its node was lost, or the cluster was stopped. "
        f"Finished work is kept; the same command continues where it stopped."
    )


def _is_node_alive(node: str) -> bool:
    return any(entry["Alive"] for entry in ray.nodes() if entry["NodeID"] == node)


def _num_gpus(device: str, asked: int | None, tensor_parallel: int) -> int | None:
    """Return the number of GPUs that Ray reserves per actor; None means one if the cluster has any."""
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device} names one of several, and Ray chooses the device. Use auto, cpu or cuda.")
    if device == "cpu":
        if asked:
            raise UsageError(f"--gpus-per-worker {asked} and --device cpu exclude each other. Leave one out.")
        return 0
    fewest = tensor_parallel if device == "cuda" or tensor_parallel > 1 else 0
    if asked is not None and asked < fewest:
        raise UsageError(f"--gpus-per-worker {asked} is too few; a worker needs {fewest} here. Leave it out.")
    return asked if asked is not None else fewest or None


def _amounts(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
