"""Web files of a URL list: their names, sizes and stamps, and partial reads.

Requests are retried if the server is busy or the connection breaks off. The files of `fsspec` are not: they treat a
temporarily busy server as a missing file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import get_session
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import hf_raise_for_status

from hf_toedit.client import HTTP_ERROR, OutOfReach, ours
from hf_toedit.errors import SourceError
from hf_toedit.retries import Failure, GaveUp, is_passing, repeated, retry_after
from hf_toedit.sources.model import SourceFile

PART_BYTES = 8 * 2**20
"""Bytes per request."""

_THREADS = 32
_TIMEOUT_S = 30.0
_NOTHING_THERE = 416
"""HTTP status: the file has no such byte."""

SECRET_NAME = r"(?:[\w.%-]*(?:token|signature|credential|secret|password|apikey|accesskey|[-_]key)|sig|key)"
"""Pattern of the name of a URL's parameter that grants access, in any case; `sig` is that of Azure's signed URLs."""

_SECRET = re.compile(rf"[?&]({SECRET_NAME})=", re.IGNORECASE)

_T = TypeVar("_T")


class _BrokenOff(Exception):
    """A response body ends too early."""


def is_web(place: str) -> bool:
    """Whether a place is an http(s) URL."""
    return place.startswith(("http://", "https://"))


def check_no_secret(url: str, where: str) -> None:
    """Refuse a URL with a password or a token, which would be stored in plan.json and published on the Hub.

    Raises:
        SourceError: The URL contains a password, or a parameter such as the signature of a presigned URL.
    """
    if re.match(r"[\w+.-]+://[^/]*@", url):
        raise SourceError(
            f"{where} holds a name or a password (before the @), which plan.json and the card would keep. Leave it "
            f"out of the address, and configure it where fsspec looks for it."
        )
    if found := _SECRET.search(url):
        raise SourceError(
            f"{where} holds a secret, the parameter {found[1]!r}, which plan.json would keep. Download the file, and "
            f"name the local one."
        )


def listed_urls(text: str, name: str) -> list[str]:
    """Return the http(s) URLs of a list, one per line, in order; blank lines and lines that begin with `#` are ignored.

    Args:
        text: The list.
        name: Name of the list, for errors.

    Raises:
        SourceError: A line is not a URL, a URL is repeated, or there is none.
    """
    numbers: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        if not is_web(url) or len(url.split()) > 1:
            raise SourceError(f"line {number} of {name} is not an http(s) address: {url[:100]!r}. Fix the list.")
        check_no_secret(url, f"line {number} of {name}")
        if url in numbers:
            raise SourceError(f"{url} is in lines {numbers[url]} and {number} of {name}. Leave one out.")
        numbers[url] = number
    if not numbers:
        raise SourceError(f"{name} lists no addresses. Name a list of URLs, one per line.")
    return list(numbers)


def web_files(urls: Sequence[str]) -> tuple[SourceFile, ...]:
    """Return files with their sizes and stamps, requested concurrently.

    Raises:
        SourceError: A file cannot be found, or its server does not report its size.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(web_file, urls))


def web_file(url: str) -> SourceFile:
    """Return a file with its size and, if the server reports one, a stamp that changes with its content.

    Raises:
        SourceError: The file cannot be found, or its server does not report its size.
    """
    status, headers = _asked(url, 0, 1, lambda answer: (answer.status_code, answer.headers))
    if status == 206:
        size = headers.get("Content-Range", "").rpartition("/")[2]
    elif status == _NOTHING_THERE:
        size = "0"
    else:
        size = "" if _is_encoded(headers) else headers.get("Content-Length", "")
    if not size.isdigit():
        raise _not_in_parts(url)
    tag = headers.get("ETag", "").removeprefix("W/") or headers.get("Last-Modified", "")
    stamp = int.from_bytes(sha256(tag.encode()).digest()[:6], "big") if tag else None
    return SourceFile(url, int(size), stamp)


class WebFile(io.RawIOBase):
    """The bytes of a file, requested as they are read; wrap it in a buffer.

    Args:
        url: URL of the file.
        size: Size of the file in bytes.
    """

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the current position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the current position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, or less at the end of the file.

        Raises:
            SourceError: The server does not send the bytes.
        """
        stop = min(self._at + len(buffer), self._size)
        if self._at >= stop:
            return 0
        body = _part(self._url, self._at, stop)
        buffer[: len(body)] = body
        self._at += len(body)
        return len(body)


def _part(url: str, start: int, stop: int) -> bytes:
    """Return bytes `[start, stop)` of a file; retried if the connection breaks off.

    Raises:
        SourceError: The server does not send the bytes.
    """

    def read(answer: Any) -> bytes:
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if answer.status_code != 206 or extent is None or extent[1] != str(start) or _is_encoded(answer.headers):
            raise _not_in_parts(url)
        try:
            body = answer.read()
        except HTTP_ERROR as error:
            raise _BrokenOff from error
        if len(body) != min(stop, int(extent[2])) - start:
            raise _BrokenOff
        return bytes(body)

    return _asked(url, start, stop, read)


def _asked(url: str, start: int, stop: int, read: Callable[[Any], _T]) -> _T:
    """Request bytes `[start, stop)` of a file; retried if the server is busy or the connection breaks off.

    Args:
        url: URL of the file.
        start: First byte.
        stop: Byte after the last one.
        read: Extracts the result from the response.

    Raises:
        SourceError: The server refuses, or cannot be reached.
    """
    headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}

    def ask() -> _T:
        with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S) as answer:
            if answer.status_code != _NOTHING_THERE:
                hf_raise_for_status(answer)
            return read(answer)

    try:
        with ours():
            return repeated(ask, urlsplit(url).hostname or url, _failure)
    except GaveUp as end:
        failure, error = end.failure, end.__cause__
    if failure.status is not None:
        raise SourceError(
            f"cannot read {url}: the server answers {failure.status}. Check the address, or try again later."
        ) from error
    if isinstance(error, _BrokenOff):
        raise SourceError(f"the connection breaks off whenever {url} is read. Try again later.")
    raise SourceError(f"cannot reach {url} ({failure.reason}). Check the address and the connection.") from error


def _failure(error: Exception) -> Failure | None:
    """Classify an error of `_asked`; None for our own errors."""
    if isinstance(error, SourceError):
        return None
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return Failure(status, "", is_passing(status), retry_after(error.response.headers))
    if isinstance(error, _BrokenOff):
        return Failure(None, "the connection breaks off", is_passing=True)
    # Errors of the HTTP library; for an invalid URL, it raises errors of other types.
    reason = str(error) if isinstance(error, OutOfReach) else type(error).__name__
    return Failure(None, reason, is_passing=isinstance(error, HTTP_ERROR))


def _not_in_parts(url: str) -> SourceError:
    return SourceError(f"the server does not send {url} in parts. Download it, and name the local file.")


def _is_encoded(headers: Mapping[str, str]) -> bool:
    """Whether a body is compressed although that was not requested, so that its bytes are not those of the file."""
    return headers.get("Content-Encoding", "identity") != "identity"
