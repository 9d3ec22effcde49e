"""Runs `hf-toedit` as the processes that people start, without paying for the imports each time.

One process loads the libraries and forks itself for each command: exit code, streams, working folder and death by
signal are those of a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.shared import shared


@dataclass(frozen=True)
class Finished:
    """What a command left behind; a negative code is the signal that killed it."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class HfToEdit:
    """The `hf-toedit` command; calling it runs it with some arguments."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.home = home
        self.env = {**env, "HF_HOME": str(home / "hf_home"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}

    def __enter__(self) -> HfToEdit:
        self._forker = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.env,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._forker.communicate()

    def __call__(
        self,
        *args: object,
        cwd: Path | None = None,
        kill_when: Callable[[], object] | None = None,
        script: Path | None = None,
    ) -> Finished:
        """Run a command, or a script that edits, to its end, or kill it on the way.

        Without workers, unless some are asked for.
        """
        if (script or args[0] in ("edit", "run", "score")) and "--workers" not in args:
            args = (*args, "--workers", 0)
        job = {"args": [str(arg) for arg in args], "cwd": str(cwd or self.home), "files": str(self.home / "stream")}
        job["script"] = str(script or "")
        pid = self._ask(job)
        if kill_when is not None:
            until = time.monotonic() + 60
            while not kill_when() and time.monotonic() < until:
                time.sleep(0.002)
            os.kill(pid, signal.SIGKILL)  # waited for only when asked below, so the id cannot be another's
        code = self._ask("wait")
        streams = [Path(f"{job['files']}.{name}").read_text(encoding="utf-8") for name in ("out", "err")]
        return Finished(code, *streams)

    def edit(self, source: object, run: Path, *options: object, **how: Any) -> Path:
        """Edit with the small prior, eagerly enough that short texts change."""
        done = self("edit", source, "-o", run, *eager(), "--quiet", *options, **how)
        assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
        return run

    def fails(self, *args: object, code: int = 1, **how: Any) -> str:
        """The one line, after `Error: `, with which a command fails."""
        done = self(*args, **how)
        *usage, line = done.stderr.splitlines() or [""]
        assert line.startswith("Error: "), done
        assert usage == [] or (code == 2 and usage[0].startswith("Usage: ")), done
        assert (done.code, done.stdout) == (code, ""), done
        return line.removeprefix("Error: ")

    def _ask(self, question: Any) -> int:
        assert self._forker.stdin and self._forker.stdout
        self._forker.stdin.write(json.dumps(question) + "\n")
        self._forker.stdin.flush()
        return json.loads(self._forker.stdout.readline())


def prior() -> tuple[str, str]:
    """The small prior, as options."""
    return "--prior", str(shared("models/stories260K"))


def eager() -> tuple[str, ...]:
    """The small prior, with settings under which even short texts change."""
    return *prior(), "--threshold", "0.9", "--temperature", "4"
