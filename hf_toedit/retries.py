"""The one policy of what is tried again, for the Hub, storage and the web: how often, after which pauses, and aloud.

A service reads its own errors (`Failure`); how long it is waited for, and what people see meanwhile, is decided here.
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
"""Of a call, at most."""

_PATIENCE_S = 120.0
"""After this no further try is begun, however few there were: a try may take a minute where nothing answers."""

_FIRST_TRIES = 4
_FIRST_PATIENCE_S = 30.0
"""The same where nothing has answered this process there yet: the address may be wrong, or the network down."""

_FIRST_PAUSE_S = 1.0
"""Before the second try; twice as long before each further one."""

_LONGEST_PAUSE = 60
"""As a multiple of the first, unless the service asks for a longer one."""

_LONGEST_TURN = 2 * 3600
"""Likewise, of all pauses of a call whose turn is waited for: the Hub counts the commits of an hour."""

_SILENCE_S = 2.0
"""Of pauses that nobody is told of: a service that was busy for a moment is not worth a line."""

_EVERY_S = 30.0
"""Between two lines of a long pause."""

_ANSWER_S = 5.0
"""Before a person is told that a question is not answered yet."""

_PASSING = {408, 409, 412, 429}
_PUT_OFF = {409, 412, 429}

_answered: set[str] = set()
_last_lines: dict[str, float] = {}
_told_until: dict[str, float] = {}
"""Of a service: when a line was last written, and until when it is known to be waited for."""

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


def is_passing(status: int) -> bool:
    """Whether a request that was answered with this HTTP status may well succeed later."""
    return status in _PASSING or status >= 500


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that an answer asks to wait, by `Retry-After` or by the Hub's header for rate limits."""
    asked = headers.get("Retry-After") or ""
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit") or "")
    return float(asked) if asked.strip().isdigit() else float(limit[1]) if limit else 0.0


@dataclass(frozen=True)
class Failure:
    """Why a try failed, free of headers and addresses, which may hold secrets.

    Attributes:
        status: HTTP status of the answer; None where there was no answer.
        reason: In words.
        is_passing: Whether the same call may well succeed later.
        retry_after: Seconds that the service asks to wait.
    """

    status: int | None
    reason: str
    is_passing: bool
    retry_after: float = 0.0

    @property
    def is_put_off(self) -> bool:
        """Whether the service is well and wants the call later: others were quicker, or there were too many calls."""
        return self.status in _PUT_OFF

    @property
    def words(self) -> str:
        """Status and reason."""
        return ": ".join(str(part) for part in (self.status, self.reason) if part)

    def told(self, service: str) -> str:
        """The beginning of a line for people."""
        what = "asks to try again later" if self.is_put_off else "does not answer"
        return f"{service} {what} ({self.status or self.reason})"


class GaveUp(Exception):
    """A call failed for good; the error of the last try is the cause.

    Attributes:
        failure: That of the last try.
        num_tries: How many there were.
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
    """Call a service, and again where it was busy or out of reach.

    A person reads on standard error what is waited for, by a warning of this module, if it takes more than a moment.

    Args:
        call: May be repeated.
        service: Its name for people: `Hub`, `s3://bucket`, `example.org`.
        failure_of: Reads an error of `call`; None for one that is not the service's.
        tries: At most.
        takes_turns: Many machines do the same in one place; while only their number is what the service minds, go on
            for hours, whatever the tries.

    Raises:
        GaveUp: The service refuses, or did not answer in time; its cause is the last error.
        Exception: What `call` raised where `failure_of` does not know it.
    """
    # Only what reaches out needs it: it takes a sixteenth of a second to import.
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
def told_of_silence(service: str) -> Iterator[None]:
    """Tell people once that an answer takes long: how long is bounded elsewhere, and what fails then is told as well.

    Args:
        service: As of `repeated`.
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
    """Tell people what is waited for, every half minute at most: many requests may wait for the same."""
    now = time.monotonic()
    if now - _last_lines.get(service, -math.inf) >= _EVERY_S:
        _last_lines[service] = now
        logger.warning("%s", line)


class _Course:
    """The tries of one call: what `tenacity` asks about them."""

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
        self._excused_s = 0.0  # that the service asked for
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
        """Say what is waited for, unless that is over in a moment or was said lately, by whichever thread."""
        assert self.failure
        now = time.monotonic()
        is_moment = self._paused_s + seconds < _SILENCE_S and now - self._began < _ANSWER_S
        is_known = now + seconds - _told_until.get(self._service, -math.inf) < _SILENCE_S
        is_recent = now - _last_lines.get(self._service, self._began) < _EVERY_S
        if is_moment or (is_known and is_recent):
            return
        _last_lines[self._service] = now
        _told_until[self._service] = now + seconds
        number = "" if self._waits_for_turn else f" {self._num_counted + 1} of {self._limits[0]}"
        logger.warning("%s; retrying%s in %d s", self.failure.told(self._service), number, math.ceil(seconds))
