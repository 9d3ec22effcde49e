"""Processes of this machine, as Linux tells of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

# The end of a program that reads Parquet by `datasets`: threads of a stream may outlast it, and they abort an
# interpreter that ends by itself (apache/arrow 34314 and 45214).
LEAVE = "import os, sys; sys.stdout.flush(); os._exit(0)"


class OwnProcess(subprocess.Popen[Any]):
    """A process that is killed where its `with` block fails; or the test would wait for its end before it fails."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for its end."""
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        state = _state(stat)
        if state is not None and state[0] != "Z" and int(state[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for yet does not."""
    state = _state(Path(f"/proc/{pid}/stat"))
    return state is not None and state[0] != "Z"


def _state(stat: Path) -> list[str] | None:
    """State, parent, and so on; None where the process is gone."""
    try:
        return stat.read_bytes().rpartition(b")")[2].decode().split()
    except OSError:
        return None
