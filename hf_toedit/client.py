"""The HTTP client of `huggingface_hub`, which does not wait for ever, nor in silence.

That library repeats some requests by itself, up to five times in 23 seconds, and tells nobody. Inside a call of ours
it fails at once instead, so that only our own policy repeats it; elsewhere, where `datasets` or `transformers` call,
people are told that it repeats.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _http, hf_raise_for_status, set_client_factory

from hf_toedit.retries import Failure, tell, told_of_silence

HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
"""Of the HTTP library below, which is another one from version to version of `huggingface_hub`."""

SERVICE = "Hub"

_CONNECT_S = 10.0
_ASK_S = 30.0
_SEND_S = 120.0
"""Without a sign of life, where something is asked or sent. Most calls of `huggingface_hub` would wait for ever."""

_REPEATED = (408, 429, 500, 502, 503, 504)
"""Statuses after which `huggingface_hub` repeats a request."""

_COUNTS = "https://s3.amazonaws.com/datasets.huggingface.co/"
"""Where `datasets` counts what is loaded, by a request that it makes once and does not mind to lose."""

_is_ours: ContextVar[bool] = ContextVar("hf_toedit_is_ours", default=False)
_failed = threading.local()


class OutOfReach(HTTP_ERROR):  # type: ignore[misc, valid-type]
    """No answer, or none that is whole; of no kind that `huggingface_hub` would repeat."""


def watch() -> None:
    """Have every client that `huggingface_hub` makes from now on watched, however it is made."""
    factory = _http._GLOBAL_CLIENT_FACTORY
    if not (isinstance(factory, partial) and factory.func is _watched):
        set_client_factory(partial(_watched, factory))


@contextmanager
def ours() -> Iterator[None]:
    """Where our own policy repeats what fails."""
    watch()
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


def _watched(factory: Callable[[], Any]) -> Any:
    """A client, whose requests fail as `_send` says."""
    client = factory()
    client.send = partial(_send, client.send)
    return client


def _send(send: Callable[..., Any], request: Any, **options: Any) -> Any:
    if str(request.url).startswith(_COUNTS):
        return send(request, **options)
    bounds = {"connect": _CONNECT_S, "read": _ASK_S if request.method in ("GET", "HEAD") else _SEND_S, "write": _SEND_S}
    given = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = {**bounds, **{name: bound for name, bound in given.items() if bound is not None}}
    try:
        with nullcontext() if request.method == "PUT" else told_of_silence(_service(request)):  # a file takes its time
            answer = send(request, **options)
    except HTTP_ERROR as error:
        if not _is_ours.get():
            _note(request, Failure(None, type(error).__name__, True))
        elif not options.get("stream"):  # a stream is taken up where it broke off
            raise OutOfReach(type(error).__name__) from error
        raise
    if answer.status_code in _REPEATED:
        if _is_ours.get():
            hf_raise_for_status(answer)
        _note(request, Failure(answer.status_code, "", True))
    else:
        _failed.request = None
    return answer


def _note(request: Any, failure: Failure) -> None:
    """Tell people of a request that fails again: the library repeats it, and waits before each further time."""
    asked = request.method, str(request.url)
    if getattr(_failed, "request", None) == asked:
        tell(_service(request), f"{failure.told(_service(request))}; trying again")
    _failed.request = asked


def _service(request: Any) -> str:
    """Whom a request asks: files lie elsewhere, by names that are not secret as the rest of their addresses is."""
    asked = urlsplit(str(request.url))
    return SERVICE if asked.netloc == urlsplit(constants.ENDPOINT).netloc else asked.hostname or SERVICE


watch()  # from here on, whoever asks the Hub: `datasets` and `transformers` ask without going through this room
