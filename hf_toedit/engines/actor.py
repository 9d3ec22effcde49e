"""The Ray actor: a worker's loop, controlled by remote calls. The driver's side is in `engines.ray`."""

from __future__ import annotations

import logging
import os
import platform
import queue
import threading
import time
import uuid
from contextlib import suppress
from typing import NamedTuple

import ray

from hf_toedit.engines.messages import Answer, Died, Order, Rows, Setup
from hf_toedit.engines.worker import serve
from hf_toedit.errors import reason

logger = logging.getLogger(__name__)

BEAT_S = 1.0
"""Seconds for which progress is collected."""


class ActorAddress(NamedTuple):
    """The location of an actor.

    Attributes:
        life: Identifier that changes each time the actor is started.
        node: Ray's id of the node.
        host: Name of the node.
        pid: Process id on that node.
    """

    life: str
    node: str
    host: str
    pid: int


class ToEditWorker:
    """The actor: a worker's loop in a thread; calls deliver orders and fetch answers."""

    def __init__(self, folder: str, setup: Setup) -> None:
        """Begin to load the prior.

        Args:
            folder: Working directory of the driver, for relative paths.
            setup: The first order.
        """
        # Ray keeps standard error as the worker's log.
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("hf_toedit").setLevel(logging.INFO)
        with suppress(OSError):  # the folder may be missing on a node that does not need it
            os.chdir(folder)
        self._place = ActorAddress(
            uuid.uuid4().hex, ray.get_runtime_context().get_node_id(), platform.node(), os.getpid()
        )
        self._orders: queue.Queue[Order] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._orders.put(setup)
        threading.Thread(target=self._work, daemon=True).start()

    def place(self) -> ActorAddress:
        """Return the actor's location."""
        return self._place

    def answers(self, life: str, order: Order | None) -> ActorAddress | list[Answer]:
        """Take an order, if given, and return answers as soon as there are any.

        Progress is collected for `BEAT_S` seconds.

        Args:
            life: The life that the call is meant for. Ray may deliver a call to the next life, which has no earlier
                order and would never have an answer; it returns its location instead, and takes no order.
            order: The order, or None.
        """
        if life != self._place.life:
            return self._place
        if order is not None:
            self._orders.put(order)
        said = [self._answers.get()]
        until = time.monotonic() + BEAT_S
        while isinstance(said[-1], Rows) and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                said.append(self._answers.get(timeout=left))
        return said

    def _work(self) -> None:
        try:
            serve(self._orders.get, self._answers.put)
        except BaseException as error:
            logger.exception("the worker ends")
            self._answers.put(Died(reason(error)))
