"""Stamps that pin the content of local, stored and web files, and the check whether a file is unchanged."""

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
"""Content checksums that the Hub, Google and S3 report; the `etag` of other stores changes with every write."""

_THREADS = 32


def local_files(root: str, splits: Mapping[str, Sequence[str]]) -> dict[str, tuple[SourceFile, ...]]:
    """Pin local files, with paths relative to a folder.

    Raises:
        OSError: A file cannot be read.
        SourceError: A path is not valid UTF-8.
    """
    places = [os.path.abspath(file) for files in splits.values() for file in files]
    _check_paths(places)
    pinned = iter([
        SourceFile(os.path.relpath(place, root).replace(os.sep, "/"), size, stamp)
        for place, (size, stamp) in zip(places, file_fingerprints(places), strict=True)
    ])  # fmt: skip
    return {split: tuple(next(pinned) for _ in files) for split, files in splits.items()}


def remote_files(system: Any, paths: Sequence[str]) -> tuple[SourceFile, ...]:
    """Pin files of an `fsspec` file system; concurrently if it allows that.

    Raises:
        Exception: A file cannot be inspected, or its path is not valid UTF-8.
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
    """Return the fingerprint of a source.

    It is the first 40 digits of the SHA-256 of its files' sizes and stamps by split, in order. File
    names are not included, unless nothing else pins a file.
    """
    content = {
        split: [(file.size, file.path if file.stamp is None else file.stamp) for file in files]
        for split, files in splits.items()
    }
    return content_hash(content)[:40]


def is_unchanged(place: str, file: SourceFile) -> bool:
    """Whether a file still matches the facts recorded at planning time.

    Args:
        place: Current path or URL.
        file: The file, as planned.

    Raises:
        OSError, SourceError: The file cannot be inspected.
    """
    if place.startswith("hf://datasets/"):
        return True  # a commit is immutable
    size, stamp = _now(place, file)
    return (size, stamp) == (file.size, file.stamp)


def _now(place: str, file: SourceFile) -> tuple[int, int | str | None]:
    """Return size and stamp of a file; the stamp is of the planned kind (0.1.0: modification time or None)."""
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
    """Return size and stamp of a file: the checksum that the store reports, or else the fingerprint."""
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
