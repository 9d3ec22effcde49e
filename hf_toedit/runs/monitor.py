"""Progress of a running run: for the screen, and through small files for `hf-toedit status`.

`toedit/progress/HOST-PID.json` contains the state of one process and its workers; it is removed when the process ends
normally. `toedit/failures/SHARD.json` contains the reason why a shard was given up; it is removed if the shard is
finished later.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from types import TracebackType
from typing import Annotated

from msgspec import Meta

from hf_toedit.checked import from_json
from hf_toedit.errors import RunError, UsageError
from hf_toedit.mergeable import UNREADABLE, Statistics
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.storage.files import remove_empty, sizes_in
from hf_toedit.storage.remote import AnyPath, RemotePath
from hf_toedit.storage.temporary import is_alive

PROGRESS = PurePosixPath("toedit/progress")
FAILURES = PurePosixPath("toedit/failures")

_WRITE_EVERY_S = 1.0
_PUT_EVERY_S = 15.0
"""Seconds between writes to remote storage, where each write is a request that may cost money."""

_UNREADABLE = (OSError, ValueError, RecursionError, UsageError)
"""Errors of a file that is incomplete or still being written; such files are skipped."""

_MANY_FAILED = 1000
"""Number of failed texts, with none read, at which a run is ended early."""

_SPEED_OVER_S = 60.0
_STALE_AFTER_S = 60.0


@dataclass(frozen=True)
class Running:
    """A shard in progress, the name of its current pass, and its processed rows and tokens in that pass."""

    shard: str
    pass_name: str
    num_rows: int = 0
    num_tokens: int = 0


@dataclass(frozen=True)
class Failure:
    """A shard that was given up, and the reason."""

    shard: str
    reason: str


@dataclass(frozen=True)
class Process:
    """The state of a process and its workers.

    Attributes:
        host: Name of its machine.
        pid: Process id on that machine.
        updated: Time of this report, in seconds since 1970.
        tokens_per_second: Speed over the last minute.
        running: Shards that its workers are processing.
    """

    host: str
    pid: Annotated[int, Meta(ge=1, lt=2**31)]
    updated: float
    tokens_per_second: float
    running: tuple[Running, ...]

    @property
    def is_gone(self) -> bool:
        """Whether the process is dead, if it is of this machine, or has not reported for a long time, if it is not."""
        if self.host == platform.node():
            return not is_alive(self.pid)
        return time.time() - self.updated > _STALE_AFTER_S

    @classmethod
    def read(cls, path: AnyPath) -> Process:
        """Read a file that `Monitor.beat` wrote."""
        return from_json(json.loads(path.read_text(encoding="utf-8")), cls)


class Monitor:
    """Receives the events of an engine and keeps the progress file up to date. A context manager.

    Attributes:
        failures: Shards given up so far.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        show: Callable[[str, dict[str, int]], None] | None = None,
        on_done: Callable[[str], None] | None = None,
    ) -> None:
        """Watch a run.

        Args:
            plan: The run's plan.
            folder: The run folder.
            show: Callback; called with the name of the pass and the counts of each batch of rows.
            on_done: Callback; called with the name of each finished shard.
        """
        self.failures: list[Failure] = []
        self._plan = plan
        self._folder = folder
        self._show = show
        self._on_done = on_done
        self._running: dict[int, Running] = {}
        self._speed = Speed()
        self._written = 0.0
        self._shards = {shard.name: shard for shard in plan.shards}
        self._has_read = False
        self._num_failed = 0
        self._write_every_s = _PUT_EVERY_S if isinstance(folder.root, RemotePath) else _WRITE_EVERY_S

    def began(self, worker: int, index: int) -> None:
        """Record that a worker begins a shard."""
        self._running[worker] = Running(self._plan.shards[index].name, self._plan.passes[0].name)
        self.beat()

    def rows(self, worker: int, pass_name: str, counts: dict[str, int]) -> None:
        """Record that a worker has processed some rows of its shard."""
        before = self._running[worker]
        if before.pass_name != pass_name:
            before = Running(before.shard, pass_name)
        self._running[worker] = replace(
            before,
            num_rows=before.num_rows + counts["num_rows"],
            num_tokens=before.num_tokens + counts["num_tokens"],
        )
        self._speed.add(counts["num_tokens_read"])
        if self._show:
            self._show(pass_name, counts)
        self.beat()

    def done(self, worker: int) -> None:
        """Record that a worker has finished its shard.

        Raises:
            RunError: So far the model has failed on every text, and on many.
        """
        shard = self._running.pop(worker).shard
        failure_path(self._folder, shard).unlink(missing_ok=True)
        if self._on_done:
            self._on_done(shard)
        if not self._has_read:
            self._look_for_texts(shard)

    def _look_for_texts(self, name: str) -> None:
        """End a run early if no text could be read.

        Raises:
            RunError: No process has read any text, and many have failed.
        """
        first, statistics = self._plan.passes[0], self._plan.task.statistics
        stats = self._folder.stats(self._plan, first, self._shards[name]) or statistics()
        self._has_read = stats.num_read > 0
        self._num_failed += sum(stats.num_skipped.get(cause, 0) for cause in ("prior_failed", "scorer_failed"))
        if self._has_read or self._num_failed < _MANY_FAILED:
            return
        parts = self._folder.all_stats(self._plan, first, self._plan.shards)
        if len(parts) < len(self._plan.shards):  # otherwise the run ends on its own, with its report
            check_read(statistics.merged(parts.values()), self._plan.task.done)

    def stopped(self, worker: int) -> None:
        """Record that a worker's shard is put back into the queue."""
        self._running.pop(worker, None)

    def failed(self, worker: int, reason: str) -> None:
        """Record that a worker's shard is given up."""
        failure = Failure(self._running.pop(worker).shard, reason)
        self.failures.append(failure)
        text = json.dumps(asdict(failure), indent=2, ensure_ascii=False) + "\n"
        self._folder.write_text(FAILURES / f"{failure.shard}.json", text)

    def beat(self) -> None:
        """Write the progress file; must be called every few seconds."""
        now = time.time()
        if now - self._written < self._write_every_s:
            return
        self._written = now
        state = Process(platform.node(), os.getpid(), now, self._speed.per_second(), tuple(self._running.values()))
        with suppress(RunError):  # a run must not fail because its progress cannot be written
            self._folder.write_text(self._folder.relative(self._path), json.dumps(asdict(state)) + "\n", synced=False)

    def __enter__(self) -> Monitor:
        """Return the monitor."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the progress file."""
        with suppress(OSError, RunError):
            self._path.unlink(missing_ok=True)
            _remove_empty(self._folder)

    @property
    def _path(self) -> AnyPath:
        return self._folder.root / PROGRESS / f"{platform.node()}-{os.getpid()}.json"


def check_read(stats: Statistics, done: str = "edited") -> None:
    """Refuse to report success for a run in which no text could be read.

    Args:
        stats: Statistics of the first pass.
        done: Participle for its rows, see `Task.done`.

    Raises:
        RunError: The model, or its chat template, failed on every text.
    """
    if not stats.is_unreadable:
        return
    counts = ", ".join(f"{count:,} {cause}" for cause, count in sorted(stats.num_skipped.items()))
    cause = next(cause for cause in UNREADABLE if stats.num_skipped.get(cause))
    advice = {
        "prior_failed": "Use another --prior, --dtype or --device, in a new run folder.",
        "template_failed": "Use a --prior whose chat template takes these conversations, or --text-column instead of "
        "--messages-column, in a new run folder.",
        "scorer_failed": "Use another --model, --dtype or --device, or fix the scorer, in a new run folder.",
    }[cause]
    reason = stats.skip_reasons.get(cause, "no reason was given").rstrip(".")
    raise RunError(
        f"no text could be read, so nothing was {done} ({counts}). Of one text: {reason}. {advice} Written rows are "
        f"kept; their texts are those of the source."
    )


class Speed:
    """Tokens per second over the last minute."""

    def __init__(self) -> None:
        """Start without any measurement."""
        self._seen: deque[tuple[float, int]] = deque()
        self._num_tokens = 0  # without those of the first measurement

    def add(self, num_tokens: int) -> None:
        """Count tokens that were just read; the first call only marks the beginning of the time span."""
        if not num_tokens:
            return
        now = time.monotonic()
        self._num_tokens += num_tokens if self._seen else 0
        self._seen.append((now, num_tokens))
        while self._seen[0][0] < now - _SPEED_OVER_S and len(self._seen) > 2:
            self._seen.popleft()
            self._num_tokens -= self._seen[0][1]

    def per_second(self) -> float:
        """Return the speed."""
        if len(self._seen) < 2:
            return 0.0
        return self._num_tokens / (time.monotonic() - self._seen[0][0])


def failure_path(folder: RunFolder, shard: str) -> AnyPath:
    """Return the path of the file with the reason why a shard failed."""
    return folder.root / FAILURES / f"{shard}.json"


def failures(folder: RunFolder) -> list[Failure]:
    """Return the shards that were given up; the list may include a shard that was finished later."""
    found = []
    for path in _files(folder.root / FAILURES):
        with suppress(*_UNREADABLE):
            found.append(from_json(json.loads(path.read_text(encoding="utf-8")), Failure))
    return found


def processes(folder: RunFolder) -> list[Process]:
    """Return the processes that are working on a run now."""
    return [process for _, process in _processes(folder) if not process.is_gone]


def forget_dead(folder: RunFolder) -> None:
    """Remove the progress files of killed processes."""
    with suppress(OSError, RunError):
        for path, process in _processes(folder):
            if process.is_gone:
                path.unlink(missing_ok=True)
        _remove_empty(folder)


def _remove_empty(folder: RunFolder) -> None:
    for name in (PROGRESS, FAILURES):
        remove_empty(folder.root / name)


def _processes(folder: RunFolder) -> Iterator[tuple[AnyPath, Process]]:
    for path in _files(folder.root / PROGRESS):
        with suppress(*_UNREADABLE):
            yield path, Process.read(path)


def _files(folder: AnyPath) -> list[AnyPath]:
    """Return the JSON files in a folder, in order."""
    return [folder / name for name in sorted(sizes_in(folder)) if name.endswith(".json")]
