"""The Ray actor: a worker's loop, reached by calls. What the driver of a run knows of it is in `engines.ray`."""

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
"""For how long progress is gathered."""


class ActorAddress(NamedTuple):
    """Where an actor is.

    Attributes:
        life: another one each time that it is started.
        node: Ray's id of the node.
        host: its name.
        pid: of the process there.
    """

    life: str
    node: str
    host: str
    pid: int


class ToEditWorker:
    """The actor: a worker's loop in a thread, to which calls bring orders, and from which they fetch answers."""

    def __init__(self, folder: str, setup: Setup) -> None:
        """Begin to load the prior.

        Args:
            folder: the working directory of the driver, for paths that are relative to it.
            setup: the first order.
        """
        # Ray keeps what is written to standard error as the worker's log.
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("hf_toedit").setLevel(logging.INFO)
        with suppress(OSError):  # a node may lack it, and need none of it
            os.chdir(folder)
        self._place = ActorAddress(
            uuid.uuid4().hex, ray.get_runtime_context().get_node_id(), platform.node(), os.getpid()
        )
        self._orders: queue.Queue[Order] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._orders.put(setup)
        threading.Thread(target=self._work, daemon=True).start()

    def place(self) -> ActorAddress:
        """Where it is."""
        return self._place

    def answers(self, life: str, order: Order | None) -> ActorAddress | list[Answer]:
        """Take an order, if there is one, and return what there is to say, as soon as there is something.

        Progress is gathered for `BEAT_S`.

        Args:
            life: for which the call is meant. Ray may bring it to the next one, which knows of no order before, and
                would have nothing to say, ever; that says where it is, and takes no order.
            order: what to do.
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
