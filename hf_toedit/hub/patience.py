"""Calls of the Hub that are repeated where it was busy or out of reach, and errors without secrets where it refuses."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TypeVar

from huggingface_hub import get_session, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from hf_toedit.errors import HubError

HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
"""Of the HTTP library below, which is another one from version to version of `huggingface_hub`."""

_TRIES = 8
_FIRST_PAUSE_S = 1.0
"""Before the second try; twice as long before each further one."""

_LONGEST_PAUSE = 60
"""As a multiple of the first, unless the Hub asks for a longer one."""

_LONGEST_TURN = 2 * 3600
"""Likewise, of all pauses of a call whose turn is waited for: the Hub counts the commits of an hour."""

_TIMEOUT_S = 120.0
"""Without a sign of life; the client's own default is to wait for ever."""

_T = TypeVar("_T")


def patiently(call: Callable[[], _T], what: str, *, tries: int = _TRIES, takes_turns: bool = False) -> _T:
    """Call the Hub, and again where it was busy or out of reach, or somebody else was quicker.

    Args:
        call: may be repeated.
        what: it does, for the message: `write to dataset 'org/name'`.
        tries: at most.
        takes_turns: many machines do the same in one place; while only their number is what the Hub minds, go on for
            hours, whatever the tries.

    Raises:
        HubError: the Hub refuses, or did not answer at any try.
    """
    first = pause = float(os.environ.get("HF_TOEDIT_RETRY_S", _FIRST_PAUSE_S))
    turn_left = first * _LONGEST_TURN
    num_failed = num_counted = 0
    while True:
        bound_waiting()
        try:
            return call()
        except Exception as error:
            failure = _Failure.of(error)
            if failure is None:
                raise
            waits_for_turn = takes_turns and failure.is_put_off
            num_failed += 1
            num_counted += not waits_for_turn
            if not failure.is_passing or (turn_left <= 0 if waits_for_turn else num_counted >= tries):
                raise HubError(failure.told(what, num_failed)) from None  # its cause may quote headers
        slept = max(random.uniform(pause / 2, pause), failure.retry_after)
        time.sleep(slept)
        turn_left -= slept * waits_for_turn
        pause = min(2 * pause, first * _LONGEST_PAUSE)


def bound_waiting() -> None:
    """Let calls of the Hub fail that get no sign of life, where its client would wait for ever."""
    get_session().timeout = _TIMEOUT_S


def refusal(error: Exception, what: str) -> str | None:
    """What to say of an error by which the Hub refuses whoever asks; None for any other."""
    failure = _Failure.of(error)
    return failure.told(what, 1) if failure and failure.status in (401, 403) else None


@dataclass(frozen=True)
class _Failure:
    """Why a call of the Hub failed, free of headers and addresses, which may hold secrets.

    Attributes:
        status: of the answer; None where there was none.
        reason: in words.
        retry_after: seconds that the Hub asks to wait.
    """

    status: int | None
    reason: str
    retry_after: float = 0.0

    @classmethod
    def of(cls, error: BaseException) -> _Failure | None:
        """Read an error; None where it is not one of the Hub."""
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, HfHubHTTPError):
                headers = seen.response.headers
                words = seen.server_message or headers.get("X-Error-Message") or ""
                return cls(seen.response.status_code, _plain(words), _retry_after(headers))
            if isinstance(seen, OfflineModeIsEnabled):
                return cls(400, "HF_HUB_OFFLINE is set")
            if isinstance(seen, (HTTP_ERROR, ConnectionError, TimeoutError, JSONDecodeError)):
                return cls(None, type(seen).__name__)
            seen = seen.__cause__
        if isinstance(error, RuntimeError):  # of the Rust library that speaks to Xet storage
            return cls(None, type(error).__name__)
        return cls(400, _plain(str(error))) if isinstance(error, ValueError) else None

    @property
    def is_passing(self) -> bool:
        """Whether the same call may well succeed later."""
        return self.status is None or self.status in (408, 409, 412, 429) or self.status >= 500

    @property
    def is_put_off(self) -> bool:
        """Whether the Hub is well and wants the call later: others were quicker, or there were too many of late."""
        return self.status in (409, 412, 429)

    def told(self, what: str, num_tries: int) -> str:
        """The message for the user."""
        answer = ": ".join(str(part) for part in (self.status, self.reason) if part)
        if self.status == 401:
            advice = "Log in with `hf auth login`, or set HF_TOKEN to a token that is valid."
        elif self.status == 403:
            advice = "The token may not do that: log in with one that may, `hf auth login`."
        elif self.status == 404:
            advice = "Check the name; a private repository needs a token that may see it, `hf auth login`."
        elif self.is_passing:
            tried = f"Tried {num_tries} times. " if num_tries > 1 else ""
            advice = f"{tried}What is done is kept; the same command goes on where it was."
        else:
            advice = "The same command goes on where it was, once that is mended."
        return f"cannot {what} on the Hub ({answer}). {advice}"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that an answer asks to wait, by `Retry-After` or by the rate limit's own header."""
    said = headers.get("Retry-After") or ""
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit") or "")
    return float(said) if said.strip().isdigit() else float(limit[1]) if limit else 0.0


def _plain(words: str) -> str:
    """What a server said, on one line of bounded length, without the token should it be quoted."""
    token = get_token()
    line = " ".join(words.split())
    return (line.replace(token, "***") if token else line)[:300]
