"""Names of temporary files: they tell which process wrote them, so that those of one that died are known as such."""

from __future__ import annotations

import os
import platform
import re
import uuid
from pathlib import Path

TEMPORARY = re.compile(r"\.(?P<pid>\d+)@(?P<host>.*)\.[0-9a-f]{32}\.tmp$")
"""How the name of a temporary file ends."""


def temporary_name(name: str) -> str:
    """A new name for what is to be called `name`, or is a copy of it."""
    return f".{name}.{os.getpid()}@{platform.node()}.{uuid.uuid4().hex}.tmp"


def is_abandoned(name: str) -> bool:
    """Whether the process that wrote a temporary file is gone; one of another machine is let alone."""
    found = TEMPORARY.search(name)
    return found is not None and found["host"] == platform.node() and not is_alive(int(found["pid"]))


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs; one that ended and that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
        return not Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].lstrip().startswith(b"Z")
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, or a system without /proc
        return True
