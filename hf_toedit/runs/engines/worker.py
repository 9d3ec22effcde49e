"""A worker process: loads a prior once, then edits the shards that it is told to, one at a time.

It reads orders as JSON lines from standard input and answers likewise on standard output:

    {"prior": {…}, "edit": {…}, "resources": {…}}  ->  {"ready": {"config": {…}, "revision": …}}
    {"run": "/the/run", "plan": hash, "shard": 3}      ->  {"generation": 1, "counts": {…}} for each batch of rows,
                                                           then {"done": 3} or {"failed": 3, "reason": …}

{"fatal": …} says that no shard can be done; {"log": …} passes a warning on. When its orders end, because it is no
longer needed or because whoever gave them died, the process ends at once, whatever it is doing.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any, TextIO

from hf_toedit.errors import RunError, ToEditError


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever gives the orders
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    logging.getLogger("hf_toedit").addHandler(_Forward(answers))
    try:
        _serve(orders, answers)
    except ToEditError as error:
        _say(answers, fatal=str(error), kind=type(error).__name__)


def _serve(orders: queue.Queue[dict[str, Any]], answers: TextIO) -> None:
    from hf_toedit.config import EditConfig, PriorConfig, Resources
    from hf_toedit.editing.editor import ToEditor
    from hf_toedit.runs.engines.base import ReadyPrior, ends_the_run, reason, told
    from hf_toedit.runs.shard import run_shard
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.stats import EditStats

    setup = orders.get()
    ready, prior = ReadyPrior.load(PriorConfig(**setup["prior"]), Resources(**setup["resources"]))
    editor = ToEditor(prior, EditConfig(**setup["edit"]))
    _say(answers, ready=asdict(ready))

    def progress(generation: int, stats: EditStats) -> None:
        _say(answers, generation=generation, counts=told(stats))

    plan, folder = None, RunFolder("")
    while True:
        order = orders.get()
        if plan is None or str(folder.root) != order["run"]:
            folder = RunFolder(order["run"])
            plan = folder.plan()
            if plan.content_hash != order["plan"]:
                raise RunError(f"{folder.root} was planned anew while this run was beginning. Start it again.")
        try:
            run_shard(plan, order["shard"], editor, folder, progress)
        except Exception as error:
            if ends_the_run(error):
                raise
            _say(answers, failed=order["shard"], reason=reason(error))
        else:
            _say(answers, done=order["shard"])


def _listen(orders: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(0)  # nothing is lost: files appear whole or not at all


def _say(answers: TextIO, **answer: Any) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


class _Forward(logging.Handler):
    """Passes warnings on."""

    def __init__(self, answers: TextIO) -> None:
        super().__init__(logging.WARNING)
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        _say(self._answers, log=record.getMessage())


if __name__ == "__main__":
    main()
