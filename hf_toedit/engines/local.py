"""The engine of one machine: spawned worker processes, one per device, each with the model loaded once.

A worker that dies is replaced, and its shard is put back into the queue. This module does not load torch: the
environment of a worker determines its device before the worker loads torch.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from itertools import takewhile
from types import TracebackType
from typing import IO

from hf_toedit.config import Resources
from hf_toedit.engines.dispatch import Dispatcher
from hf_toedit.engines.messages import Answer, Died, Order, Setup, read_answer, to_line
from hf_toedit.errors import UsageError
from hf_toedit.runs.task import Task

_BEAT_S = 1.0
_STOP_S = 3.0
_MAIN = "import sys; sys.path = [p for p in sys.path if p]; from hf_toedit.engines.worker import main; main()"


class LocalEngine(Dispatcher["_Worker"]):
    """Worker processes on this machine; see `Engine`."""

    _advice = "fewer --workers, a smaller --token-budget, or a smaller prior"

    def __init__(
        self,
        task: Task,
        resources: Resources,
        num_workers: int | None = None,
    ) -> None:
        """Start the first worker, which loads the model while a plan is made.

        Args:
            task: What is done.
            resources: What each worker may use of this machine.
            num_workers: Number of processes; None means one per GPU, or per group of GPUs that share a model, or one
                process without GPUs.
        """
        super().__init__()
        self._setup = Setup(task.to_json(), resources)
        self._environments = _environments(task.device, num_workers, resources.tensor_parallel)
        self._answers: queue.Queue[tuple[_Worker, Answer | None]] = queue.Queue()
        self._num_started = 0
        self._hire(1)

    def _hire(self, num_shards: int) -> None:
        for number in range(self._num_started, min(len(self._environments), num_shards)):
            self._start(number)
            self._num_started += 1

    def _hear(self) -> list[tuple[_Worker, Answer]]:
        try:
            worker, answer = self._answers.get(timeout=_BEAT_S)
        except queue.Empty:
            return []
        return [(worker, Died(worker.last_words()) if answer is None else answer)]

    def _renew(self, worker: _Worker) -> None:
        self._start(worker.number)

    def _drop(self, worker: _Worker) -> None:
        """Do nothing: the worker is already dead."""

    def _start(self, number: int) -> None:
        worker = self._workers[number] = _Worker(number, self._environments[number], self._answers)
        worker.order(self._setup)

    def __enter__(self) -> LocalEngine:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all workers within seconds, even in the middle of their work."""
        for worker in self._workers.values():
            worker.dismiss()
        until = time.monotonic() + _STOP_S
        for worker in self._workers.values():
            worker.end(until)


class _Worker:
    """An engine's view of a worker process; see `Worker`."""

    def __init__(
        self, number: int, environment: dict[str, str], answers: queue.Queue[tuple[_Worker, Answer | None]]
    ) -> None:
        self.number = number
        self.task: Task | None = None
        self.shard: int | None = None
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # the last line of stderr must explain a death
                **environment,
            },
            start_new_session=True,  # so that only the engine receives Ctrl-C
        )
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def order(self, order: Order) -> None:
        """Send an order; a dead worker is detected later, when its output ends."""
        try:
            stdin = _pipe(self._process.stdin)
            stdin.write(to_line(order))
            stdin.flush()
        except OSError:
            pass

    def last_words(self) -> str:
        """Describe how the worker died."""
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"was killed by {signal.Signals(-code).name}{hint}"
        return f"ended with code {code}" + (f": {said[:300]}" if said else "")

    def dismiss(self) -> None:
        """Ask the worker to end, by closing its input."""
        try:
            _pipe(self._process.stdin).close()
        except OSError:
            pass

    def end(self, until: float) -> None:
        """Wait for the end of the process until `until` (monotonic seconds), then kill it."""
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        self._stderr.close()

    def _listen(self, answers: queue.Queue[tuple[_Worker, Answer | None]]) -> None:
        for line in _pipe(self._process.stdout):
            if line.endswith("\n"):  # a killed process may leave an incomplete line
                answers.put((self, read_answer(line)))
        answers.put((self, None))


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # all streams of a worker are pipes
    return stream


def _environments(device: str, num_workers: int | None, tensor_parallel: int) -> list[dict[str, str]]:
    """Return the environment variables to set for each worker before it loads torch."""
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    if gpus:
        most = len(gpus) // tensor_parallel
        if not most:
            raise UsageError(
                f"--tensor-parallel {tensor_parallel} asks for more GPUs than there are ({len(gpus)}). Name fewer."
            )
        if num_workers is not None and num_workers > most:
            share = f", and {tensor_parallel} share a model" if tensor_parallel > 1 else ""
            raise UsageError(
                f"{num_workers} workers are more than there are GPUs ({len(gpus)}{share}). Leave --workers out."
            )
        groups = [gpus[worker * tensor_parallel :][:tensor_parallel] for worker in range(most)]
        return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups[:num_workers]]
    count = num_workers or 1
    if count == 1 or "OMP_NUM_THREADS" in os.environ:
        return [{} for _ in range(count)]
    return [{"OMP_NUM_THREADS": str(max(1, num_cpus() // count))} for _ in range(count)]


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; none without a driver."""
    named, lister = os.environ.get("CUDA_VISIBLE_DEVICES"), shutil.which("nvidia-smi")
    if named is not None and (lister or os.path.exists("/dev/nvidiactl")):
        gpus = (gpu.strip() for gpu in named.split(","))
        return list(takewhile(lambda gpu: gpu not in ("", "-1"), gpus))  # -1 hides all GPUs after it
    if named is not None or lister is None:
        return []
    listed = subprocess.run([lister, "--list-gpus"], capture_output=True).stdout
    return [str(number) for number in range(sum(line.startswith(b"GPU ") for line in listed.splitlines()))]


def num_cpus() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
