"""Files on the web that a list names: which they are, how large, what pins them, and their bytes, part by part.

By the client of `huggingface_hub`, which waits for busy servers and takes up what breaks off. The files of `fsspec` do
neither: to them a server that is busy for a moment has no such file.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import http_stream_backoff

from hf_toedit.errors import SourceError
from hf_toedit.runs.plan import SourceFile

PART_BYTES = 8 * 2**20
"""What is asked for at a time."""

_THREADS = 32
_TRANSIENT = (429, 500, 502, 503, 504)
_TRIES = 6


def is_web(place: str) -> bool:
    """Whether a place is an http(s) address."""
    return place.startswith(("http://", "https://"))


def check_no_password(url: str, where: str) -> None:
    """Refuse an address with a password in it, which plan.json would keep and the Hub would be shown.

    Raises:
        SourceError: it has one.
    """
    if re.match(r"[\w+.-]+://[^/]*@", url):
        raise SourceError(
            f"{where} holds a name or a password (before the @), which plan.json and the card would keep. Leave it "
            f"out of the address, and configure it where fsspec looks for it."
        )


def listed_urls(text: str, name: str) -> list[str]:
    """The http(s) addresses of a list, one a line, in order; blank lines and those that begin with `#` are none.

    Args:
        text: the list.
        name: of the list, for errors.

    Raises:
        SourceError: a line is no address, an address comes twice, or there is none.
    """
    numbers: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        url = line.strip()
        if not url or url.startswith("#"):
            continue
        if not is_web(url) or len(url.split()) > 1:
            raise SourceError(f"line {number} of {name} is no http(s) address: {url[:100]!r}. Mend the list.")
        check_no_password(url, f"line {number} of {name}")
        if url in numbers:
            raise SourceError(f"{url} stands in lines {numbers[url]} and {number} of {name}. Leave one out.")
        numbers[url] = number
    if not numbers:
        raise SourceError(f"{name} lists no addresses. Name a list of URLs, one a line.")
    return list(numbers)


def web_files(urls: Sequence[str]) -> tuple[SourceFile, ...]:
    """Files with their sizes and stamps, asked for side by side.

    Raises:
        SourceError: one cannot be found, or its server does not say how large it is.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return tuple(pool.map(web_file, urls))


def web_file(url: str) -> SourceFile:
    """A file with its size and, as far as the server tells it, a stamp that changes with its content.

    Raises:
        SourceError: it cannot be found, or its server does not say how large it is.
    """
    with _answer(url, 0, 1) as answer:
        status, headers = answer.status_code, answer.headers
    if status == 206:
        size = headers.get("Content-Range", "").rpartition("/")[2]
    elif status == 416:  # there is no first byte
        size = "0"
    else:
        size = "" if _is_encoded(headers) else headers.get("Content-Length", "")
    if not size.isdigit():
        raise _not_in_parts(url)
    tag = headers.get("ETag", "").removeprefix("W/") or headers.get("Last-Modified", "")
    stamp = int.from_bytes(sha256(tag.encode()).digest()[:6], "big") if tag else None
    return SourceFile(url, int(size), stamp)


class WebFile(io.RawIOBase):
    """The bytes of a file, asked for as they are read; put a buffer around it.

    Args:
        url: its address.
        size: its bytes.
    """

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, with less at the end of the file.

        Raises:
            SourceError: the server does not send it.
        """
        stop = min(self._at + len(buffer), self._size)
        if self._at >= stop:
            return 0
        body = _part(self._url, self._at, stop)
        buffer[: len(body)] = body
        self._at += len(body)
        return len(body)


def _part(url: str, start: int, stop: int) -> bytes:
    """Bytes `[start, stop)` of a file; asked for again where the connection breaks off.

    Raises:
        SourceError: the server does not send them.
    """
    for attempt in range(_TRIES):
        time.sleep(attempt)
        with _answer(url, start, stop) as answer:
            extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            if answer.status_code != 206 or extent is None or extent[1] != str(start) or _is_encoded(answer.headers):
                raise _not_in_parts(url)
            body = _body(answer, min(stop, int(extent[2])) - start)
        if body is not None:
            return body
    raise SourceError(f"the connection breaks off whenever {url} is read. Try again later.")


@contextmanager
def _answer(url: str, start: int, stop: int) -> Iterator[Any]:
    """What a server answers when it is asked for bytes `[start, stop)` of a file; asked again where it was busy.

    Raises:
        SourceError: it refuses, or cannot be reached.
    """
    headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
    try:
        with http_stream_backoff(
            "GET", url, headers=headers, follow_redirects=True, timeout=30, retry_on_status_codes=_TRANSIENT
        ) as answer:
            if answer.status_code not in (200, 206, 416):
                raise _refused(url, answer.status_code)
            yield answer
    except SourceError:
        raise
    except HfHubHTTPError as error:
        raise _refused(url, error.response.status_code) from error
    except Exception as error:  # of whichever HTTP library is below
        raise SourceError(
            f"cannot reach {url} ({type(error).__name__}). Check the address and the connection."
        ) from error


def _refused(url: str, status: int) -> SourceError:
    return SourceError(f"cannot read {url}: the server answers {status}. Check the address, or try again later.")


def _not_in_parts(url: str) -> SourceError:
    return SourceError(f"the server does not send {url} in parts. Download it, and name the local file.")


def _is_encoded(headers: Mapping[str, str]) -> bool:
    """Whether a body comes compressed although that was not asked for: its bytes are not those of the file then."""
    return headers.get("Content-Encoding", "identity") != "identity"


def _body(answer: Any, size: int) -> bytes | None:
    """What an answer holds; None where it breaks off."""
    try:
        body = answer.read()
    except Exception:  # the connection, by any name
        return None
    return body if len(body) == size else None
