"""Retry policy for the Hub, storage and the web: number of tries, pauses and messages.

Each service classifies its own errors (`Failure`); this module decides how long to wait and what to log meanwhile.
"""

from __future__ import annotations

import logging
import math
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tenacity import RetryCallState

TRIES = 8
"""Maximum number of tries per call."""

_PATIENCE_S = 120.0
"""No further try starts after this time, however few there were: a try without an answer may take a minute."""

_FIRST_TRIES = 4
_FIRST_PATIENCE_S = 30.0
"""The same limits for a service that has not answered this process yet: the address or the network may be wrong."""

_FIRST_PAUSE_S = 1.0
"""Pause before the second try; it doubles before each further one."""

_LONGEST_PAUSE = 60
"""Longest pause, as a multiple of the first, unless the service asks for a longer one."""

_LONGEST_TURN = 2 * 3600
"""Longest sum of pauses, in multiples of the first, for calls that take turns: the Hub limits commits per hour."""

_SILENCE_S = 2.0
"""Pauses shorter than this in total are not logged: a service that is busy for a moment does not need a message."""

_EVERY_S = 30.0
"""Time between two messages about a long pause."""

_ANSWER_S = 5.0
"""Time without an answer after which a message is logged."""

_PASSING = {408, 409, 412, 429}
_PUT_OFF = {409, 412, 429}

_answered: set[str] = set()
_last_lines: dict[str, float] = {}
_reported_until: dict[str, float] = {}
"""For each service: when a message was last logged, and until when the logged wait lasts."""

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


def is_passing(status: int) -> bool:
    """Whether a request that was answered with this HTTP status may succeed later."""
    return status in _PASSING or status >= 500


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that an answer asks to wait, from `Retry-After` or the Hub's rate-limit header."""
    asked = headers.get("Retry-After") or ""
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit") or "")
    return float(asked) if asked.strip().isdigit() else float(limit[1]) if limit else 0.0


@dataclass(frozen=True)
class Failure:
    """Why a try failed, without headers and addresses, which may contain secrets.

    Attributes:
        status: HTTP status of the answer; None if there was no answer.
        reason: Reason in words.
        is_passing: Whether the same call may succeed later.
        retry_after: Seconds that the service asks to wait.
    """

    status: int | None
    reason: str
    is_passing: bool
    retry_after: float = 0.0

    @property
    def is_put_off(self) -> bool:
        """Whether the service works but asks to call later: other clients were faster, or there were too many calls."""
        return self.status in _PUT_OFF

    @property
    def words(self) -> str:
        """The status and reason."""
        return ": ".join(str(part) for part in (self.status, self.reason) if part)

    def message(self, service: str) -> str:
        """Return the beginning of a message for users."""
        what = "asks to try again later" if self.is_put_off else "does not answer"
        return f"{service} {what} ({self.status or self.reason})"


class GaveUp(Exception):
    """A call failed for good; the error of the last try is the cause.

    Attributes:
        failure: The failure of the last try.
        num_tries: Number of tries.
    """

    def __init__(self, failure: Failure, num_tries: int) -> None:
        super().__init__(failure.words)
        self.failure = failure
        self.num_tries = num_tries


def repeated(
    call: Callable[[], _T],
    service: str,
    failure_of: Callable[[Exception], Failure | None],
    *,
    tries: int = TRIES,
    takes_turns: bool = False,
) -> _T:
    """Call a service, and retry if it was busy or out of reach.

    If a wait takes more than a moment, this module logs a warning, which appears on standard error.

    Args:
        call: The call; it must be safe to repeat.
        service: Name of the service for users: `Hub`, `s3://bucket`, `example.org`.
        failure_of: Classifies an error of `call`; returns None for an error that does not come from the service.
        tries: Maximum number of tries.
        takes_turns: Whether many machines make the same call to one place. While the service refuses only because of
            their number, retries continue for hours, regardless of `tries`.

    Raises:
        GaveUp: The service refused, or did not answer in time; the cause is the last error.
        Exception: An error of `call` for which `failure_of` returns None.
    """
    # Imported here, since only remote calls need it and the import takes a sixteenth of a second.
    from tenacity import Retrying, retry_if_exception

    course = _Course(service, failure_of, tries, takes_turns)
    retrying = Retrying(
        retry=retry_if_exception(course.may_pass),
        wait=course.pause,
        stop=course.is_over,
        sleep=course.sleep,
        reraise=True,
    )
    try:
        answer = retrying(call)
    except Exception as error:
        if course.failure is None:
            raise
        raise GaveUp(course.failure, course.num_failed) from error
    _answered.add(service)
    return answer


@contextmanager
def reporting_silence(service: str) -> Iterator[None]:
    """Log once that an answer takes long. The caller bounds the wait, and logs a failure itself.

    Args:
        service: Name of the service, as in `repeated`.
    """
    if not logger.isEnabledFor(logging.WARNING):
        yield
        return
    timer = threading.Timer(_ANSWER_S, tell, [service, f"{service} has not answered yet; still waiting"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def tell(service: str, line: str) -> None:
    """Log what is waited for, at most every half minute, since many requests may wait for the same service."""
    now = time.monotonic()
    if now - _last_lines.get(service, -math.inf) >= _EVERY_S:
        _last_lines[service] = now
        logger.warning("%s", line)


class _Course:
    """The tries of one call: the callbacks for `tenacity`."""

    def __init__(
        self, service: str, failure_of: Callable[[Exception], Failure | None], tries: int, takes_turns: bool
    ) -> None:
        self.failure: Failure | None = None
        self.num_failed = 0
        self._service = service
        self._failure_of = failure_of
        self._tries = tries
        self._takes_turns = takes_turns
        self._first_pause = float(os.environ.get("HF_TOEDIT_RETRY_S", _FIRST_PAUSE_S))
        self._turn_left = self._first_pause * _LONGEST_TURN
        self._num_counted = 0
        self._excused_s = 0.0  # pauses that the service asked for
        self._began = time.monotonic()
        self._paused_s = 0.0

    def may_pass(self, error: BaseException) -> bool:
        self.failure = self._failure_of(error) if isinstance(error, Exception) else None
        if self.failure is None:
            return False
        self.num_failed += 1
        if self.failure.status is not None:
            _answered.add(self._service)
        self._num_counted += not self._waits_for_turn
        return self.failure.is_passing

    def pause(self, state: RetryCallState) -> float:
        from tenacity import wait_exponential

        assert self.failure
        pause = wait_exponential(self._first_pause, self._first_pause * _LONGEST_PAUSE)(state)
        return max(random.uniform(pause / 2, pause), self.failure.retry_after)

    def is_over(self, state: RetryCallState) -> bool:
        assert self.failure
        if self._waits_for_turn:
            return self._turn_left <= 0
        tries, patience = self._limits
        return self._num_counted >= tries or (state.seconds_since_start or 0) - self._excused_s > patience

    def sleep(self, seconds: float) -> None:
        assert self.failure
        if self._waits_for_turn:
            self._turn_left -= seconds
        if self.failure.is_put_off or self.failure.retry_after:
            self._excused_s += seconds
        self._tell(seconds)
        self._paused_s += seconds
        while seconds > _EVERY_S:
            time.sleep(_EVERY_S)
            seconds -= _EVERY_S
            self._tell(seconds)
        time.sleep(seconds)

    @property
    def _waits_for_turn(self) -> bool:
        return self._takes_turns and self.failure is not None and self.failure.is_put_off

    @property
    def _limits(self) -> tuple[int, float]:
        if self._service in _answered:
            return self._tries, _PATIENCE_S
        return min(self._tries, _FIRST_TRIES), _FIRST_PATIENCE_S

    def _tell(self, seconds: float) -> None:
        """Log what is waited for, unless the wait is short or any thread logged it recently."""
        assert self.failure
        now = time.monotonic()
        is_moment = self._paused_s + seconds < _SILENCE_S and now - self._began < _ANSWER_S
        is_known = now + seconds - _reported_until.get(self._service, -math.inf) < _SILENCE_S
        is_recent = now - _last_lines.get(self._service, self._began) < _EVERY_S
        if is_moment or (is_known and is_recent):
            return
        _last_lines[self._service] = now
        _reported_until[self._service] = now + seconds
        number = "" if self._waits_for_turn else f" {self._num_counted + 1} of {self._limits[0]}"
        logger.warning("%s; retrying%s in %d s", self.failure.message(self._service), number, math.ceil(seconds))
