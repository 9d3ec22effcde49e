"""Process several files at a time in threads that do not block an interrupt."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")


def in_threads(call: Callable[[_T], object], items: Iterable[_T], count: int) -> None:
    """Call a function for each item, in `count` threads, and raise the first error.

    On Ctrl-C, the threads of `concurrent.futures`, and those that `huggingface_hub` starts for several files, would be
    waited for until their files are done.
    """
    waiting = iter(items)
    stop = threading.Event()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    lock = threading.Lock()

    def work() -> None:
        try:
            while not stop.is_set():
                with lock:
                    item = next(waiting, None)
                if item is None:
                    break
                call(item)
            ended.put(None)
        except BaseException as error:
            ended.put(error)

    try:
        for _ in range(count):
            threading.Thread(target=work, daemon=True).start()
        for _ in range(count):
            error = ended.get()
            if error is not None:
                raise error
    finally:
        stop.set()
