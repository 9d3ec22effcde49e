"""A worker: loads the model of a task once, then processes shards as ordered, one at a time.

`serve` takes orders and gives answers in any process. `main` runs in a process of the local engine: it reads orders as
JSON lines from standard input and writes answers as JSON lines to standard output:

    Setup  ->  Ready
    Work   ->  Rows for each batch of rows, then Done or Failed

Fatal means that no shard can be processed, and ends the worker; Warned may come at any time. When the orders end,
because the worker is no longer needed or because the engine died, the process ends at once, even in the middle of its
work.
"""

from __future__ import annotations

import logging
import os
import platform
import queue
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TextIO

from hf_toedit.collector import without_collector
from hf_toedit.engines.messages import (
    Answer,
    Done,
    Failed,
    Fatal,
    Order,
    Ready,
    Rows,
    Setup,
    Warned,
    read_order,
    to_line,
)
from hf_toedit.errors import RunError, ToEditError

if TYPE_CHECKING:
    from hf_toedit.mergeable import Statistics
    from hf_toedit.runs.passes import Pass
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder


logger = logging.getLogger(__name__)


def serve(take: Callable[[], Order], say: Callable[[Answer], None]) -> None:
    """Process orders one after the other; return only if no shard can be processed.

    Args:
        take: Waits for the next order and returns it.
        say: Callback; called with each answer.
    """
    logging.getLogger("hf_toedit").addHandler(_Forward(say))
    try:
        _serve(take, say)
    except ToEditError as error:
        say(Fatal(type(error).__name__, str(error)))


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the engine handles Ctrl-C
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not be taken for an answer
    orders: queue.Queue[Order] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    serve(orders.get, partial(_say, answers))


def _serve(take: Callable[[], Order], say: Callable[[Answer], None]) -> None:
    with without_collector():
        from hf_toedit.engines.base import check_planned, ends_the_run, reported
        from hf_toedit.errors import reason
        from hf_toedit.priors.allocator import use_expandable_segments
        from hf_toedit.runs.shard import run_shard
        from hf_toedit.runs.task import Task

        use_expandable_segments()
        setup = take()
        assert isinstance(setup, Setup)  # the first order is always a Setup
        task, loaded = Task.from_json_value(setup.task, "task").load(setup.resources)
    if task.model is not None:
        logger.info("%s is loaded", task.model.name)
    say(Ready(task.to_json()))

    def progress(pass_: Pass, stats: Statistics, is_known: bool) -> None:
        say(Rows(pass_.name, reported(stats, is_known)))

    opened, plan, folder = None, None, None
    while True:
        order = take()
        assert not isinstance(order, Setup)
        asked = order.run, order.plan, order.passes  # an engine may get the same folder again, with further passes
        if plan is None or folder is None or opened != asked:
            plan, folder = _opened(order.run, order.plan)
            check_planned(task, plan)
            opened = asked
        try:
            run_shard(plan, order.shard, loaded, folder, progress)
        except Exception as error:
            if ends_the_run(error):
                raise
            say(Failed(order.shard, reason(error)))
        else:
            logger.info("%s is done", plan.shards[order.shard].name)
            say(Done(order.shard))


def _opened(root: str, content_hash: str) -> tuple[Plan, RunFolder]:
    """Open the run that the engine has opened before.

    Raises:
        RunError: The run folder is missing here, or contains a different plan.
    """
    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(root)
    try:
        plan = folder.plan()
    except RunError as error:
        raise RunError(
            f"a worker on {platform.node()} cannot read the plan: {error} Machines that share a run must all see its "
            f"folder, under the same path."
        ) from error
    if plan.content_hash != content_hash:
        raise RunError(f"{root} was planned again while this run was starting. Start it again.")
    return plan, folder


def _listen(orders: queue.Queue[Order]) -> None:
    for line in sys.stdin.buffer:  # orders are UTF-8, regardless of the locale
        orders.put(read_order(line))
    os._exit(0)  # nothing is lost: files are written atomically


def _say(answers: TextIO, answer: Answer) -> None:
    answers.write(to_line(answer))
    answers.flush()


class _Forward(logging.Handler):
    """Log handler that forwards warnings to the engine."""

    def __init__(self, say: Callable[[Answer], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(Warned(record.getMessage()))


if __name__ == "__main__":
    main()
