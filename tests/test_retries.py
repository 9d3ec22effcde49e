"""The retry policy: number of tries, pauses and messages."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable

import pytest

from hf_toedit.errors import KEPT, HubError, NoAnswer, kept
from hf_toedit.retries import TRIES, Failure, GaveUp, is_passing, repeated, retry_after


class Trouble(Exception):
    def __init__(self, status: int | None, asked: float = 0.0) -> None:
        self.failure = Failure(status, "Trouble", status is None or is_passing(status), asked)


def failure_of(error: Exception) -> Failure | None:
    return error.failure if isinstance(error, Trouble) else None


def failing(errors: Iterable[Exception]) -> Callable[[], str]:
    """Return a function that raises each of some errors, and then returns."""
    left = iter(errors)

    def call() -> str:
        for error in left:
            raise error
        return "answer"

    return call


@pytest.fixture
def service() -> str:
    """Return the name of a service that this process has not called yet."""
    return f"service-{uuid.uuid4()}"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("HF_TOEDIT_RETRY_S", "0.001")
    logging.getLogger("hf_toedit").setLevel(logging.NOTSET)  # a command in this process may have suppressed warnings
    caplog.set_level(logging.WARNING, "hf_toedit")


@pytest.mark.parametrize("status", [408, 409, 412, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(service: str, status: int) -> None:
    errors = [Trouble(status) for _ in range(TRIES)]
    assert repeated(failing(errors[1:]), service, failure_of) == "answer"
    with pytest.raises(GaveUp) as raised:
        repeated(failing(errors), service, failure_of)
    assert (raised.value.num_tries, raised.value.__cause__) == (TRIES, errors[-1])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416, 422])
def test_what_is_refused_is_not(service: str, status: int) -> None:
    with pytest.raises(GaveUp) as raised:
        repeated(failing([Trouble(status)]), service, failure_of)
    assert raised.value.num_tries == 1


def test_errors_of_others_are_theirs(service: str) -> None:
    with pytest.raises(KeyError):
        repeated(failing([Trouble(503), KeyError()]), service, failure_of)
    with pytest.raises(KeyboardInterrupt):
        repeated(failing([Trouble(503), KeyboardInterrupt()]), service, failure_of)  # type: ignore[list-item]


def test_what_never_answered_is_given_up_sooner(service: str) -> None:
    for most in (4, 4):
        with pytest.raises(GaveUp) as raised:
            repeated(failing(Trouble(None) for _ in range(20)), service, failure_of)
        assert raised.value.num_tries == most
    assert repeated(failing([]), service, failure_of) == "answer"
    with pytest.raises(GaveUp) as raised:
        repeated(failing(Trouble(None) for _ in range(20)), service, failure_of)
    assert raised.value.num_tries == TRIES


def test_turns_are_waited_for_beyond_all_tries(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [Trouble(409) for _ in range(3 * TRIES)]
    assert repeated(failing(errors), service, failure_of, takes_turns=True) == "answer"
    monkeypatch.setenv("HF_TOEDIT_RETRY_S", "0.00001")  # 0.072 s of waiting for turns
    with pytest.raises(GaveUp) as raised:
        repeated(failing(Trouble(429, 0.04) for _ in range(9)), service, failure_of, takes_turns=True)
    assert raised.value.num_tries == 3
    with pytest.raises(GaveUp) as raised:
        repeated(failing(Trouble(503) for _ in range(20)), service, failure_of, takes_turns=True)
    assert raised.value.num_tries == TRIES


def test_people_are_told_of_what_takes_more_than_a_moment(service: str, caplog: pytest.LogCaptureFixture) -> None:
    assert repeated(failing([Trouble(503)] * 7), service, failure_of) == "answer"
    assert caplog.messages == []  # it took milliseconds
    begun = time.monotonic()
    assert repeated(failing([Trouble(503, 2), Trouble(429, 2)]), service, failure_of) == "answer"
    assert time.monotonic() - begun >= 4
    assert caplog.messages == [
        f"{service} does not answer (503); retrying 2 of 8 in 2 s",
        f"{service} asks to try again later (429); retrying 3 of 8 in 2 s",
    ]


def test_what_answers_ask_for() -> None:
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"ratelimit": '"api";r=0;t=55'}) == 55
    assert retry_after({"ratelimit": '"api";r=3;t=55'}) == 0


def test_only_work_that_writes_promises_that_it_is_kept() -> None:
    with pytest.raises(HubError) as raised, kept():
        raise NoAnswer("cannot write (503). Try again later.", "cannot write (503).")
    assert str(raised.value) == f"cannot write (503). {KEPT}"
    with pytest.raises(HubError, match=r"^cannot write \(403\). Log in.$"), kept():
        raise HubError("cannot write (403). Log in.")
