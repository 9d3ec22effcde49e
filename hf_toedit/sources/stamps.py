"""What pins the content of a source's file, on this machine, in storage or on the web; and whether it is still that."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import fsspec

from hf_toedit.checked import check_encodable
from hf_toedit.config import content_hash
from hf_toedit.errors import SourceError
from hf_toedit.fingerprint import file_fingerprint, file_fingerprints, fingerprint
from hf_toedit.sources.model import SourceFile
from hf_toedit.sources.web import is_web, web_file, web_files

_CHECKSUMS = ("xet_hash", "blob_id", "md5Hash", "ETag")
"""What stores tell of a content: the Hub, Google, S3. Others have an `etag` that changes whenever a file is written."""

_THREADS = 32


def local_files(root: str, splits: Mapping[str, Sequence[str]]) -> dict[str, tuple[SourceFile, ...]]:
    """Files of this machine, pinned; their paths relative to a folder.

    Raises:
        OSError: One cannot be read.
        SourceError: The path of one is not valid UTF-8.
    """
    places = [os.path.abspath(file) for files in splits.values() for file in files]
    _check_paths(places)
    pinned = iter([
        SourceFile(os.path.relpath(place, root).replace(os.sep, "/"), size, stamp)
        for place, (size, stamp) in zip(places, file_fingerprints(places), strict=True)
    ])  # fmt: skip
    return {split: tuple(next(pinned) for _ in files) for split, files in splits.items()}


def remote_files(system: Any, paths: Sequence[str]) -> tuple[SourceFile, ...]:
    """Files of a file system of `fsspec`, pinned; looked at side by side where it allows that.

    Raises:
        Exception: One cannot be looked at, or its path is not valid UTF-8.
    """
    urls = [str(system.unstrip_protocol(path)) for path in paths]
    _check_paths(urls)
    if urls and is_web(urls[0]):
        return web_files(urls)
    look = partial(_remote, system)
    if system.async_impl:
        with ThreadPoolExecutor(_THREADS) as pool:
            facts = list(pool.map(look, paths))
    else:
        facts = [look(path) for path in paths]
    return tuple(SourceFile(url, size, stamp) for url, (size, stamp) in zip(urls, facts, strict=True))


def _check_paths(paths: Sequence[str]) -> None:
    for path in paths:
        check_encodable(path, "the path of the source's file", SourceError)


def content_revision(splits: Mapping[str, Sequence[SourceFile]]) -> str:
    """The fingerprint of a source: the first 40 digits of SHA-256 of sizes and stamps of its files by split, in order.

    The names of files are not part of it, except where nothing else pins one.
    """
    content = {
        split: [(file.size, file.path if file.stamp is None else file.stamp) for file in files]
        for split, files in splits.items()
    }
    return content_hash(content)[:40]


def is_unchanged(place: str, file: SourceFile) -> bool:
    """Whether a file is the one that was planned, by the facts that were noted then.

    Args:
        place: Where it is now, a path or a URL.
        file: As it was planned.

    Raises:
        OSError, SourceError: It cannot be looked at.
    """
    if place.startswith("hf://datasets/"):
        return True  # a commit holds what it holds
    size, stamp = _now(place, file)
    return (size, stamp) == (file.size, file.stamp)


def _now(place: str, file: SourceFile) -> tuple[int, int | str | None]:
    """Size and stamp of a file, the stamp of the kind that was planned: in plans of 0.1.0 a time of change, or none."""
    if is_web(place):
        found = web_file(place)
        return found.size, file.stamp and found.stamp
    if "://" in place:
        system, path = fsspec.url_to_fs(place)
        return _remote(system, path) if isinstance(file.stamp, str) else (system.size(path), None)
    if isinstance(file.stamp, str):
        return file_fingerprint(place)
    status = os.stat(place)
    return status.st_size, status.st_mtime_ns


def _remote(system: Any, path: str) -> tuple[int, str]:
    """Size and stamp of a file: the checksum that the store tells, or else the fingerprint."""
    info = system.info(path)
    size = info["size"] or 0
    key = next((key for key in _CHECKSUMS if info.get(key)), None)
    if key is not None:
        return size, f"{key}:{info[key]}".replace('"', "")
    return size, _read_remote(system, path, size, system.ukey(path))


@lru_cache(maxsize=10_000)
def _read_remote(system: Any, path: str, size: int, _: str) -> str:
    with system.open(path, "rb", cache_type="none") as stream:

        def read(start: int, stop: int) -> bytes:
            stream.seek(start)
            return bytes(stream.read(stop - start))

        return fingerprint(size, read)
