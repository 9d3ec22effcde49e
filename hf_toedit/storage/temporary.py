"""Names of temporary files: they contain the process that wrote them, so that files of dead processes are detected."""

from __future__ import annotations

import os
import platform
import re
import uuid
from pathlib import Path

TEMPORARY = re.compile(r"\.(?P<pid>\d+)@(?P<host>.*)\.[0-9a-f]{32}\.tmp$")
"""Suffix of a temporary file name."""


def temporary_name(name: str) -> str:
    """Return a new temporary name for a file or copy called `name`."""
    return f".{name}.{os.getpid()}@{platform.node()}.{uuid.uuid4().hex}.tmp"


def is_abandoned(name: str) -> bool:
    """Whether the process that wrote a temporary file is dead; False for processes of other machines."""
    found = TEMPORARY.search(name)
    return found is not None and found["host"] == platform.node() and not is_alive(int(found["pid"]))


def is_alive(pid: int) -> bool:
    """Whether a process of this machine is running; zombies are not."""
    try:
        os.kill(pid, 0)
        return not Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].lstrip().startswith(b"Z")
    except ProcessLookupError:
        return False
    except OSError:  # another user's process, or a system without /proc
        return True
