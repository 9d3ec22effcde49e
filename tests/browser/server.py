"""The demo in a separate process, with a run of the bundled sample."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
EAGER = {"threshold": 0.9, "temperature": 4}
"""Settings with which even short texts change."""

GENERATIONS = 3
_OPTIONS = (
    "--limit",
    "8",
    "--generations",
    str(GENERATIONS),
    *(str(word) for name, value in EAGER.items() for word in (f"--{name}", value)),
)


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process of this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def edited_sample(folder: Path) -> Path:
    """Create a run of a few documents of the sample, in which every generation changed something."""
    hf_toedit("edit", "sample", "-o", folder / "run", *_OPTIONS, "--workers", 0, "--quiet")
    return folder / "run"


def hf_toedit(*words: object) -> None:
    """Run the command and wait for its end."""
    subprocess.run([sys.executable, "-m", "hf_toedit", *map(str, words)], env=environment(), check=True)


@contextmanager
def serving(source: object, cwd: Path = ROOT, port: int | None = None) -> Iterator[str]:
    """Run `hf-toedit space run` in a folder, and yield its address."""
    command = [sys.executable, "-m", "hf_toedit", "space", "run", str(source), "--port", str(port or free_port())]
    with subprocess.Popen(command, cwd=cwd, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.match(r"Serving at (http://\S+)/ ", line := process.stdout.readline())
            assert found, f"the demo said {line!r}"
            yield found[1]
        finally:
            process.terminate()
