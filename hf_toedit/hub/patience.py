"""Hub calls with retries if the Hub is busy or unreachable, and with error messages without secrets."""

from __future__ import annotations

from collections.abc import Callable
from json import JSONDecodeError
from typing import TypeVar

from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from hf_toedit.client import HTTP_ERROR, SERVICE, OutOfReach, ours
from hf_toedit.errors import HubError, NoAnswer, ToEditError
from hf_toedit.retries import TRIES, Failure, GaveUp, is_passing, repeated, retry_after

_T = TypeVar("_T")


def patiently(call: Callable[[], _T], what: str, *, tries: int = TRIES, takes_turns: bool = False) -> _T:
    """Call the Hub, with retries if it is busy or unreachable, or if another process was faster.

    Args:
        call: The call, which may be repeated.
        what: What it does, for the message: `write to dataset 'org/name'`.
        tries: Maximum number of tries.
        takes_turns: Whether many machines make the same call at the same place; as long as the Hub only limits their
            rate, the call is retried for hours, regardless of `tries`.

    Raises:
        NoAnswer: The Hub did not answer at any try.
        HubError: The Hub refuses.
    """
    try:
        with ours():
            return repeated(call, SERVICE, _failure, tries=tries, takes_turns=takes_turns)
    except GaveUp as end:
        raise _error(end.failure, what, end.num_tries) from None  # the cause may contain request headers


def asked(call: Callable[[], _T]) -> _T:
    """Call the Hub with retries, and raise the original error, for callers that distinguish errors.

    Raises:
        Exception: The error of the last try.
    """
    try:
        with ours():
            return repeated(call, SERVICE, _failure)
    except GaveUp as end:
        error = end.__cause__
        assert error
    raise error


def why(error: Exception) -> str:
    """Return a short reason why the Hub did not answer."""
    failure = _failure(error)
    return failure.words if failure else type(error).__name__


def refusal(error: Exception, what: str) -> str | None:
    """Return the message for an error with which the Hub denies access; None for any other error."""
    failure = _failure(error)
    return str(_error(failure, what)) if failure and failure.status in (401, 403) else None


def _failure(error: BaseException) -> Failure | None:
    """Classify an error; None if it is not from the Hub."""
    if isinstance(error, ToEditError):  # its cause was classified before
        return None
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, HfHubHTTPError):
            status, headers = seen.response.status_code, seen.response.headers
            words = seen.server_message or headers.get("X-Error-Message") or ""
            return Failure(status, _plain(words), is_passing(status), retry_after(headers))
        if isinstance(seen, OfflineModeIsEnabled):
            return Failure(None, "HF_HUB_OFFLINE is set", is_passing=False)
        if isinstance(seen, OutOfReach):
            return Failure(None, str(seen), is_passing=True)
        if isinstance(seen, (HTTP_ERROR, ConnectionError, TimeoutError, JSONDecodeError)):
            return Failure(None, type(seen).__name__, is_passing=True)
        seen = seen.__cause__
    if isinstance(error, RuntimeError):  # error of the Rust library for Xet storage
        return Failure(None, type(error).__name__, is_passing=True)
    return Failure(None, _plain(str(error)), is_passing=False) if isinstance(error, ValueError) else None


def _error(failure: Failure, what: str, num_tries: int = 1) -> HubError:
    """Return the error for the user."""
    message = f"cannot {what} on the Hub ({failure.words})."
    if failure.is_passing:
        message += f" Tried {num_tries} times." if num_tries > 1 else ""
        return NoAnswer(f"{message} Try again later.", message)
    advice = {
        401: "Log in with `hf auth login`, or set HF_TOKEN to a token that is valid.",
        403: "The token lacks the permission: log in with one that has it, `hf auth login`.",
        404: "Check the name; a private repository needs a token with access, `hf auth login`.",
    }
    return HubError(f"{message} {advice.get(failure.status or 0, 'Fix the cause, then run the same command again.')}")


def _plain(words: str) -> str:
    """Format a server's message on one line of bounded length, without the token if it is quoted."""
    token = get_token()
    line = " ".join(words.split())
    return (line.replace(token, "***") if token else line)[:300]
