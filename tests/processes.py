"""Local processes, as Linux reports them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

# Code that ends a program that reads Parquet by `datasets`: threads of a stream may outlast the program, and abort an
# interpreter that exits normally (apache/arrow 34314 and 45214).
LEAVE = "import os, sys; sys.stdout.flush(); os._exit(0)"


class OwnProcess(subprocess.Popen[Any]):
    """A process that is killed if its `with` block fails, so that the failing test does not wait for it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the end of the process."""
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


def children(pid: int) -> list[int]:
    """Return the living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        state = _state(stat)
        if state is not None and state[0] != "Z" and int(state[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    state = _state(Path(f"/proc/{pid}/stat"))
    return state is not None and state[0] != "Z"


def _state(stat: Path) -> list[str] | None:
    """Return state, parent and so on; None if the process is gone."""
    try:
        return stat.read_bytes().rpartition(b")")[2].decode().split()
    except OSError:
        return None
