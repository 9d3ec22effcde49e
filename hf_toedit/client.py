"""HTTP client for `huggingface_hub` with timeouts and visible retries.

`huggingface_hub` silently retries some requests, up to five times in 23 seconds. Inside our own calls the client fails
at once instead, so that only our retry policy applies. Elsewhere, when `datasets` or `transformers` call the Hub, the
client logs that a request is retried.
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

from hf_toedit.retries import Failure, reporting_silence, tell

HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
"""Base error of the underlying HTTP library, which differs between versions of `huggingface_hub`."""

SERVICE = "Hub"

_CONNECT_S = 10.0
_ASK_S = 30.0
_SEND_S = 120.0
"""Timeouts without any data, for requests that read and that send. Most `huggingface_hub` calls have no timeout."""

_REPEATED = (408, 429, 500, 502, 503, 504)
"""Statuses after which `huggingface_hub` repeats a request."""

_COUNTS = "https://s3.amazonaws.com/datasets.huggingface.co/"
"""Where `datasets` counts downloads, with a single request whose failure it ignores."""

_is_ours: ContextVar[bool] = ContextVar("hf_toedit_is_ours", default=False)
_failed = threading.local()


class OutOfReach(HTTP_ERROR):  # type: ignore[misc, valid-type]
    """No answer, or an incomplete one. Not a subclass of any error that `huggingface_hub` retries."""


def watch() -> None:
    """Wrap every client that `huggingface_hub` creates from now on, however it is created."""
    factory = _http._GLOBAL_CLIENT_FACTORY
    if not (isinstance(factory, partial) and factory.func is _watched):
        set_client_factory(partial(_watched, factory))


@contextmanager
def ours() -> Iterator[None]:
    """Mark a block in which our own policy retries failed requests."""
    watch()
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


def _watched(factory: Callable[[], Any]) -> Any:
    """Create a client whose requests go through `_send`."""
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
        with nullcontext() if request.method == "PUT" else reporting_silence(_service(request)):  # uploads are slow
            answer = send(request, **options)
    except HTTP_ERROR as error:
        if not _is_ours.get():
            _note(request, Failure(None, type(error).__name__, True))
        elif not options.get("stream"):  # a stream is resumed where it broke off
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
    """Log a request that fails repeatedly: the library retries it, and waits before each further attempt."""
    asked = request.method, str(request.url)
    if getattr(_failed, "request", None) == asked:
        tell(_service(request), f"{failure.message(_service(request))}; trying again")
    _failed.request = asked


def _service(request: Any) -> str:
    """Return the name of the requested service. For files on other hosts it is the host; the rest may be secret."""
    asked = urlsplit(str(request.url))
    return SERVICE if asked.netloc == urlsplit(constants.ENDPOINT).netloc else asked.hostname or SERVICE


watch()  # at import, since `datasets` and `transformers` call the Hub directly
