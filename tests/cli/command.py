"""Runs `hf-toedit` and Python code as users' processes run, without paying for the imports each time.

One process loads the libraries and forks itself for each command. Exit code, streams, working folder and death by
signal are those of a separate process.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tests.processes import is_alive
from tests.shared import shared


@dataclass(frozen=True)
class Finished:
    """The result of a command; a negative exit code is the signal that killed it."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Process:
    """A process of a `Forker`; a context manager that kills it on exit.

    Attributes:
        pid: Process id, which is not reused before `end` has been called.
    """

    def __init__(self, pid: int, files: Path, wait: Callable[[int], int]) -> None:
        self.pid, self._files, self._wait = pid, files, wait
        self._finished: Finished | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._finished is None and is_alive(self.pid)

    def kill(self) -> None:
        """Kill the process, and wait for its end."""
        if self._finished is None:
            os.kill(self.pid, signal.SIGKILL)
            self.end()

    def end(self) -> Finished:
        """Wait for the end of the process, and return its result."""
        if self._finished is None:
            code = self._wait(self.pid)
            self._finished = Finished(code, *(self._take(f"{self._files}.{name}") for name in ("out", "err")))
        return self._finished

    def _take(self, file: str) -> str:
        path = Path(file)
        if not path.exists():
            return ""  # killed before it began to write
        text = path.read_text(encoding="utf-8")
        path.unlink()
        return text

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


class Forker:
    """A process with loaded libraries, which forks itself for each job."""

    def __init__(self, folder: Path, questions: TextIO, answers: TextIO) -> None:
        self._folder, self._questions, self._answers = folder, questions, answers
        self._num_begun = 0

    def begin(self, args: Sequence[str] = (), cwd: Path | None = None, **job: object) -> Process:
        """Begin a process in parallel with others."""
        self._num_begun += 1
        files = self._folder / f"stream{self._num_begun}"
        pid = self._ask({"args": args, "cwd": str(cwd or self._folder), "files": str(files), **job})
        return Process(pid, files, self._ask)

    def close(self) -> None:
        self._questions.close()
        self._answers.close()

    def _ask(self, question: Any) -> int:
        self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()
        return json.loads(self._answers.readline())


@cache
def _foreign() -> Forker:
    """Return a forker with the libraries that do not read the environment at import."""
    # Not a `TemporaryDirectory`: from Python 3.13 on, a child of `multiprocess` drops the callbacks of `atexit`, which
    # would delete the folder with its last reference.
    folder = Path(tempfile.mkdtemp())
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.forker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdin and process.stdout
    forker = Forker(folder, process.stdin, process.stdout)
    for tidy in (partial(shutil.rmtree, folder), process.wait, forker.close):  # last one runs first
        atexit.register(tidy)
    return forker


def python(code: str, *args: str, env: Mapping[str, str], cwd: Path | None = None) -> Finished:
    """Run code like `python -c`, without the import time of the libraries that `datasets` and torch load."""
    return _foreign().begin(args, cwd or Path.cwd(), code=code, env=dict(env)).end()


_WORKING = ("edit", "run", "score", "generate", "select", "mix", "compare")
"""Commands that use workers."""


class HfToEdit:
    """The `hf-toedit` command; call it with the command's arguments."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.home = home
        self.env = {**env, "HF_HOME": str(home / "hf_home"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self._begin = _foreign().begin

    def beside(self, **env: str) -> HfToEdit:
        """Return the same command in another environment, which only hf-toedit reads: libraries are loaded already."""
        other = copy(self)
        other.env = {**self.env, **env}
        other._begin = self._forker.begin
        return other

    def __enter__(self) -> HfToEdit:
        with tempfile.TemporaryDirectory() as folder:
            questions, answers = (Path(folder, name) for name in ("questions", "answers"))
            for pipe in (questions, answers):
                os.mkfifo(pipe)
            self._begin(pipes=[str(questions), str(answers)], env=self.env)
            self._forker = Forker(self.home, questions.open("w", encoding="utf-8"), answers.open(encoding="utf-8"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._forker.close()

    def begin(self, *args: object, cwd: Path | None = None, **job: object) -> Process:
        """Begin a command, or a script that edits.

        It uses no workers unless the arguments ask for some.
        """
        if (job.get("script") or args[0] in _WORKING) and "--workers" not in args:
            args = (*args, "--workers", 0)
        return self._forker.begin([str(arg) for arg in args], cwd, **job)

    def __call__(
        self,
        *args: object,
        cwd: Path | None = None,
        kill_when: Callable[[], object] | None = None,
        script: Path | None = None,
    ) -> Finished:
        """Run a command, or a script that edits, to its end, or kill it on the way; see `begin`."""
        with self.begin(*args, cwd=cwd, script=str(script or "")) as process:
            if kill_when is not None:
                until = time.monotonic() + 60
                while not kill_when() and time.monotonic() < until:
                    time.sleep(0.005)
                process.kill()
            return process.end()

    def edit(self, source: object, run: Path, *options: object, **how: Any) -> Path:
        """Edit with the small prior, and settings with which short texts change."""
        done = self("edit", source, "-o", run, *eager(), "--quiet", *options, **how)
        assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
        return run

    def fails(self, *args: object, code: int = 1, **how: Any) -> str:
        """Return the line after `Error: ` with which a command fails."""
        done = self(*args, **how)
        *usage, line = done.stderr.splitlines() or [""]
        assert line.startswith("Error: "), done
        assert usage == [] or (code == 2 and usage[0].startswith("Usage: ")), done
        assert (done.code, done.stdout) == (code, ""), done
        return line.removeprefix("Error: ")


def prior() -> tuple[str, str]:
    """Return the options for the small prior."""
    return "--prior", str(shared("models/stories260K"))


def eager() -> tuple[str, ...]:
    """Return the options for the small prior with settings with which even short texts change."""
    return *prior(), "--threshold", "0.9", "--temperature", "4"
