"""Runs the real command in its own process, and returns its duration and memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05
MB = 10**6


@dataclass(frozen=True)
class Measured:
    """Seconds, CPU seconds, and peak resident memory of a command and its largest worker, in MB."""

    seconds: float
    cpu_seconds: float
    command_mb: float
    worker_mb: float


def command(*arguments: str | int | Path, threads: int | None = 1) -> Measured:
    """Run `hf-toedit`, by default on one thread, so that the effect of threads is not measured."""
    run = [sys.executable, "-m", "hf_toedit", *map(str, arguments)]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    began, cpu_began = time.perf_counter(), children_cpu_seconds()
    process = subprocess.Popen(run, env=environment, stdout=subprocess.DEVNULL)
    own = worker = 0.0
    while process.poll() is None:
        with suppress(OSError):
            own = max(own, peak_mb(process.pid))
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
            worker = max([worker, *map(peak_mb, children)])
        time.sleep(POLL_S)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(run)} ended with code {process.returncode}")
    return Measured(seconds, children_cpu_seconds() - cpu_began, own, worker)


def children_cpu_seconds() -> float:
    """Return the CPU time of all processes that this one and its children have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_mb(pid: int | str) -> float:
    """Return the peak resident memory of a process so far; 0 if it has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("VmHWM")), 0.0)


def work_seconds(run: Path) -> float:
    """Return the seconds of the prior and the editor in a run, from its statistics."""
    records = (json.loads(path.read_text(encoding="utf-8")) for path in (run / "toedit" / "stats").rglob("*.json"))
    return sum(sum(record["stats"]["seconds"].values()) for record in records)
