"""The garbage collector while a process of ours starts and ends.

The libraries that it imports make up to 800,000 objects, which stay. The collector would look at them again and again:
for a fifth of the time that `hf-toedit edit` takes to start, and half a second at its end. In the processes of others,
the collector is left alone.
"""

from __future__ import annotations

import atexit
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_START_S = 5.0
"""Longer than a command takes to import what it needs, and too short for garbage to matter."""


@contextmanager
def without_collector() -> Iterator[None]:
    """Turn the collector off in the block; afterwards it ignores what was made so far."""
    gc.disable()
    try:
        yield
    finally:
        _resume()


@cache
def postpone_collector() -> None:
    """Keep the collector out of the first seconds of a process, and of its end; later calls in it do nothing."""
    gc.disable()
    atexit.register(gc.freeze)
    timer = threading.Timer(_START_S, _resume)
    timer.daemon = True
    timer.start()


def _resume() -> None:
    gc.freeze()
    gc.enable()
