"""What a run tells of itself while it runs: to the screen, and to `hf-toedit status` through small files.

`toedit/progress/HOST-PID.json` says what one process with its workers is at; it is gone when the process ends well.
`toedit/failures/SHARD.json` says why a shard was given up; it is gone when the shard is done after all.
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
"""To storage, where each write is a request that may be paid for."""

_UNREADABLE = (OSError, ValueError, RecursionError, UsageError)
"""A file that another process is writing, or that it never wrote whole: it is passed over."""

_MANY_FAILED = 1000
"""Texts that the prior fails on, and none that it reads: enough to end a run before all of it is done."""

_SPEED_OVER_S = 60.0
_STALE_AFTER_S = 60.0


@dataclass(frozen=True)
class Running:
    """A shard that is under way, the name of the pass it is in, and what is through of it in that pass."""

    shard: str
    pass_name: str
    num_rows: int = 0
    num_tokens: int = 0


@dataclass(frozen=True)
class Failure:
    """A shard that was given up, and why."""

    shard: str
    reason: str


@dataclass(frozen=True)
class Process:
    """What a process, with its workers, says of itself.

    Attributes:
        host: its machine.
        pid: its id there.
        updated: when it said so, seconds since 1970.
        tokens_per_second: over the last minute.
        running: what its workers are at.
    """

    host: str
    pid: Annotated[int, Meta(ge=1, lt=2**31)]
    updated: float
    tokens_per_second: float
    running: tuple[Running, ...]

    @property
    def is_gone(self) -> bool:
        """Whether it is of this machine and dead, or has not been heard of for long."""
        if self.host == platform.node():
            return not is_alive(self.pid)
        return time.time() - self.updated > _STALE_AFTER_S

    @classmethod
    def read(cls, path: AnyPath) -> Process:
        """Read what `Monitor.beat` wrote."""
        return from_json(json.loads(path.read_text(encoding="utf-8")), cls)


class Monitor:
    """Told by an engine what happens; keeps the progress file up to date. A context manager.

    Attributes:
        failures: shards given up so far.
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
            plan: of the run.
            folder: of the run.
            show: called with the name of the pass and the counts of each batch of rows.
            on_done: called with the name of each shard that is done.
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
        """A worker takes on a shard."""
        self._running[worker] = Running(self._plan.shards[index].name, self._plan.passes[0].name)
        self.beat()

    def rows(self, worker: int, pass_name: str, counts: dict[str, int]) -> None:
        """A worker is through with some rows of its shard."""
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
        """A worker is done with its shard.

        Raises:
            RunError: so far the model has failed on every text, and on many.
        """
        shard = self._running.pop(worker).shard
        failure_path(self._folder, shard).unlink(missing_ok=True)
        if self._on_done:
            self._on_done(shard)
        if not self._has_read:
            self._look_for_texts(shard)

    def _look_for_texts(self, name: str) -> None:
        """End a run of which this process has seen no text that the model could read, before all of it is done.

        Raises:
            RunError: nor has any other, and many have failed.
        """
        first, statistics = self._plan.passes[0], self._plan.task.statistics
        stats = self._folder.stats(self._plan, first, self._shards[name]) or statistics()
        self._has_read = stats.num_read > 0
        self._num_failed += sum(stats.num_skipped.get(cause, 0) for cause in ("prior_failed", "scorer_failed"))
        if self._has_read or self._num_failed < _MANY_FAILED:
            return
        parts = self._folder.all_stats(self._plan, first, self._plan.shards)
        if len(parts) < len(self._plan.shards):  # otherwise the run ends by itself, with its report
            check_read(statistics.merged(parts.values()), self._plan.task.done)

    def stopped(self, worker: int) -> None:
        """A worker's shard goes back to those that wait."""
        self._running.pop(worker, None)

    def failed(self, worker: int, reason: str) -> None:
        """A worker's shard is given up."""
        failure = Failure(self._running.pop(worker).shard, reason)
        self.failures.append(failure)
        text = json.dumps(asdict(failure), indent=2, ensure_ascii=False) + "\n"
        self._folder.write_text(FAILURES / f"{failure.shard}.json", text)

    def beat(self) -> None:
        """Say that the process lives; to be called every few seconds."""
        now = time.time()
        if now - self._written < self._write_every_s:
            return
        self._written = now
        state = Process(platform.node(), os.getpid(), now, self._speed.per_second(), tuple(self._running.values()))
        with suppress(RunError):  # a run does not fail because it cannot tell of itself
            self._folder.write_text(self._folder.relative(self._path), json.dumps(asdict(state)) + "\n", synced=False)

    def __enter__(self) -> Monitor:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing runs any more."""
        with suppress(OSError, RunError):
            self._path.unlink(missing_ok=True)
            _remove_empty(self._folder)

    @property
    def _path(self) -> AnyPath:
        return self._folder.root / PROGRESS / f"{platform.node()}-{os.getpid()}.json"


def check_read(stats: Statistics, done: str = "edited") -> None:
    """Refuse to take a run for a success of which no text could be read.

    Args:
        stats: Statistics of its first pass.
        done: What its rows would be, see `Task.done`.

    Raises:
        RunError: the model, or its chat template, failed on every text.
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
    """Tokens a second over the last minute."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._seen: deque[tuple[float, int]] = deque()
        self._num_tokens = 0  # of all that were seen but the first

    def add(self, num_tokens: int) -> None:
        """Count tokens that were read just now; the first that come only say when the span begins."""
        if not num_tokens:
            return
        now = time.monotonic()
        self._num_tokens += num_tokens if self._seen else 0
        self._seen.append((now, num_tokens))
        while self._seen[0][0] < now - _SPEED_OVER_S and len(self._seen) > 2:
            self._seen.popleft()
            self._num_tokens -= self._seen[0][1]

    def per_second(self) -> float:
        """The speed."""
        if len(self._seen) < 2:
            return 0.0
        return self._num_tokens / (time.monotonic() - self._seen[0][0])


def failure_path(folder: RunFolder, shard: str) -> AnyPath:
    """Where it is written why a shard failed."""
    return folder.root / FAILURES / f"{shard}.json"


def failures(folder: RunFolder) -> list[Failure]:
    """The shards that were given up; one that was done after all may still be among them."""
    found = []
    for path in _files(folder.root / FAILURES):
        with suppress(*_UNREADABLE):
            found.append(from_json(json.loads(path.read_text(encoding="utf-8")), Failure))
    return found


def processes(folder: RunFolder) -> list[Process]:
    """The processes that work on a run now."""
    return [process for _, process in _processes(folder) if not process.is_gone]


def forget_dead(folder: RunFolder) -> None:
    """Remove what killed processes left of their progress."""
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
    """The files of JSON in a folder, in order."""
    return [folder / name for name in sorted(sizes_in(folder)) if name.endswith(".json")]
