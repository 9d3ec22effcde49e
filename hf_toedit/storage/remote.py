"""Paths in remote storage, accessed through fsspec: without caching, with retries, and with clear errors.

Nothing is cached, because other processes write there too. A file appears when it is uploaded, atomically in object
stores; there is no rename, and there are no empty folders.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from hf_toedit.errors import RunError, UsageError
from hf_toedit.retries import GaveUp, repeated, reporting_silence
from hf_toedit.storage.failures import judged, plain, status_of

_READ_BYTES = 8 * 2**20
"""Minimum number of bytes per request."""

_USELESS = {"memory": "ends with the process", "http": "cannot be written to", "https": "cannot be written to"}
"""Protocols that cannot store a run, with the reason."""

_ADVICE = {
    "s3": "Check the bucket, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and AWS_ENDPOINT_URL where "
    "it is not Amazon's.",
    "hf": "Check the bucket, and log in with `hf auth login` or set HF_TOKEN.",
}
_QUESTIONS = ("look at", "list", "remove")
"""Operations that are fast if a store works well; the time to read or write a file depends on its size."""

_shared: dict[tuple[int, str], Any] = {}

_T = TypeVar("_T")


class Stat(NamedTuple):
    """The part of `os.stat` that is needed.

    Attributes:
        st_size: Size in bytes.
    """

    st_size: int


@dataclass(frozen=True, order=True)
class RemotePath:
    """The path of a file or folder in remote storage, with the methods of `pathlib.Path` that a run folder needs.

    Methods that access the store raise RunError if it refuses, or does not answer after several tries.

    Attributes:
        url: URL such as `s3://bucket/run`, without a trailing slash.
    """

    url: str

    @classmethod
    def folder(cls, url: str) -> RemotePath:
        """Return the path of a run folder.

        Raises:
            UsageError: A run cannot be stored there.
        """
        protocol, _, rest = url.partition("://")
        why = _USELESS.get(protocol)
        if not rest.strip("/"):
            why = "names no bucket"
        elif "::" in url:
            why = "is a chain of stores"
        elif protocol == "hf" and not re.match(r"buckets/[^/]+/[^/]", rest):
            why = "is not a folder of a bucket: name hf://buckets/org/bucket/run, or push the run"
        elif re.match(r"[^/]*:[^/]*@", rest):
            raise UsageError("the address of the run folder holds a password. Configure it where fsspec looks for it.")
        if why:
            raise UsageError(f"{url} {why}, so no run can be kept there. Name a local folder, or a bucket.")
        return cls(url.rstrip("/"))

    def __str__(self) -> str:
        """Return the URL."""
        return self.url

    def __truediv__(self, other: str | PurePath) -> RemotePath:
        """Return a path below this one."""
        return RemotePath("/".join([self.url, *PurePosixPath(other).parts]))

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.url.rpartition("/")[2]

    def as_posix(self) -> str:
        """Return the URL, under the name that `pathlib` uses."""
        return self.url

    def exists(self) -> bool:
        """Whether there is a file, or a folder with files."""
        try:
            self._info()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        """Whether this is a file."""
        try:
            return bool(self._info()["type"] == "file")
        except FileNotFoundError:
            return False

    def stat(self) -> Stat:
        """Return the size of the file.

        Raises:
            FileNotFoundError: It does not exist.
        """
        return Stat(self._info()["size"])

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield the files and folders in this folder."""
        yield from (self / name for name in self._listed())

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the files in this folder, in bytes by name, from one listing."""
        return {name: entry["size"] for name, entry in self._listed().items() if entry["type"] == "file"}

    def names_below(self) -> list[str]:
        """Return the relative paths of all files in this folder and its subfolders, from one listing."""

        def look(system: Any, path: str) -> list[str]:
            system.invalidate_cache(path)
            try:
                found = system.find(path)
            except FileNotFoundError:
                return []
            top = f"{path.rstrip('/')}/"
            return [name.removeprefix(top) for name in found if name.startswith(top)]

        return self._call("list", look)

    def read_bytes(self) -> bytes:
        """Read a small file.

        Raises:
            FileNotFoundError: It does not exist.
        """

        def read(system: Any, path: str) -> bytes:
            if self.url.startswith("hf://"):  # its other ways of reading list the whole folder first
                with system.open(path, "rb", block_size=0) as stream:
                    return bytes(stream.read())
            try:
                return bytes(system.cat_file(path, start=0))  # without a start, s3fs requests the size first
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return bytes(system.cat_file(path))  # an empty file has no byte 0

        return self._call("read", read)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read a small file as text."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Open a large file for reading in parts.

        Raises:
            FileNotFoundError: It does not exist.
        """

        def begin(system: Any, path: str) -> Any:
            system.invalidate_cache(path)
            return system.open(path, mode, block_size=_READ_BYTES, cache_type="none")

        return io.BufferedReader(_Parts(self, self._call("read", begin)), _READ_BYTES)

    def put(self, file: Path) -> None:
        """Upload a local file to this path, replacing any existing file."""

        def send(system: Any, path: str) -> None:
            if not system.async_impl:  # object stores need no folders, and would create a bucket for a misspelled name
                system.makedirs(system._parent(path), exist_ok=True)
            system.put_file(str(file), path)

        try:
            self._call("write", send)
        except FileNotFoundError as error:
            raise self._failure("write", error) from None

    def fetch(self, file: Path) -> None:
        """Download this file to a local path.

        Raises:
            FileNotFoundError: It does not exist.
        """

        def get(system: Any, path: str) -> None:
            system.invalidate_cache(path)
            system.get_file(path, str(file))

        self._call("read", get)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file.

        Raises:
            FileNotFoundError: It does not exist, and `missing_ok` is False.
        """

        def remove(system: Any, path: str) -> None:
            try:
                system.rm_file(path)
            except Exception as error:
                if isinstance(error, FileNotFoundError) or not self.exists():
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url) from error
                raise

        try:
            self._call("remove", remove)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def _listed(self) -> dict[str, Any]:
        """Return the metadata of all entries of this folder, by name."""

        def look(system: Any, path: str) -> dict[str, Any]:
            system.invalidate_cache(path)
            try:
                entries = system.ls(path, detail=True)
            except FileNotFoundError:
                return {}
            top = f"{path.rstrip('/')}/"
            below = (entry for entry in entries if entry["name"].startswith(top))  # a file is not an entry of itself
            return {name: entry for entry in below if (name := entry["name"].removeprefix(top).rstrip("/"))}

        return self._call("list", look)

    def _info(self) -> dict[str, Any]:
        def look(system: Any, path: str) -> dict[str, Any]:
            system.invalidate_cache(path)
            return dict(system.info(path))

        return self._call("look at", look)

    def _call(self, what: str, call: Callable[[Any, str], _T]) -> _T:
        """Run an operation, and retry it if the store is busy or unreachable."""

        def attempt() -> _T:
            with self._client(), reporting_silence(self._store) if what in _QUESTIONS else nullcontext():
                return call(*self._system())

        try:
            return repeated(attempt, self._store, judged)
        except GaveUp as end:
            error = end.__cause__
        assert isinstance(error, Exception)
        if isinstance(error, FileNotFoundError):
            raise error
        if status_of(error) == 404:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url) from None
        raise self._failure(what, error) from None  # the cause may contain request headers

    @property
    def _store(self) -> str:
        protocol, _, rest = self.url.partition("://")
        return f"{protocol}://{rest.partition('/')[0]}"

    @contextmanager
    def _client(self) -> Iterator[None]:
        """For a Hub bucket, disable the client's own retries and its progress bar for each file."""
        if not self.url.startswith("hf://"):
            yield
            return
        from huggingface_hub.utils import disable_progress_bars

        from hf_toedit.client import ours

        disable_progress_bars()
        with ours():
            yield

    def _system(self) -> tuple[Any, str]:
        """Return the file system, and the path in its format.

        An asynchronous file system serves all threads; for others, fsspec has one per thread.
        """
        import fsspec

        place = os.getpid(), self._store
        system = _shared.get(place)
        if system is None:
            system, _ = fsspec.url_to_fs(self.url, use_listings_cache=False)
            if self.url.startswith("s3://"):
                system.retries = 1  # besides the retries of its own library, and ours, which are reported
                if "AWS_MAX_ATTEMPTS" not in os.environ:
                    system.config_kwargs.setdefault("retries", {"total_max_attempts": 2})
            if system.async_impl:
                _shared[place] = system
        return system, system._strip_protocol(self.url)

    def _failure(self, what: str, error: Exception) -> RunError:
        """Return the error for the user, without secrets."""
        protocol = self.url.partition("://")[0]
        if isinstance(error, ImportError):
            known = {"s3": "'hf-toedit[s3]'", "gs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}.get(protocol)
            how = f"`pip install {known}`" if known else plain(error)
            return RunError(f"{self.url}: the package that reaches {protocol}:// is not installed. {how}.")
        advice = _ADVICE.get(protocol, "Check the address, and the credentials that this machine has for it.")
        return RunError(f"cannot {what} {self.url} ({type(error).__name__}: {plain(error)}). {advice}")


class _Parts(io.RawIOBase):
    """A file of a store; reads are retried if the store is busy."""

    def __init__(self, path: RemotePath, file: Any) -> None:
        self._path = path
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._file.seek(offset if whence != io.SEEK_CUR else self._at + offset,
                                   whence if whence != io.SEEK_CUR else io.SEEK_SET)  # fmt: skip
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        def read(*_: Any) -> bytes:
            self._file.seek(self._at)
            return bytes(self._file.read(len(buffer)))

        part = self._path._call("read", read)
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


AnyPath = Path | RemotePath
"""Path of a run folder, or of a file or folder in it."""
