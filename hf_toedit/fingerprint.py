"""Fingerprints of files, which depend only on a file's content, not on its location or time of change.

A file of up to 16 MiB is hashed in full: `xxh3:` and its XXH3-128, which `xxhsum -H2 FILE` prints as well. For a larger
file 256 blocks of 16 KiB are hashed: block i of 0 to 255 begins at byte `(size - 16384) * i // 255`, so that the first
and the last bytes are included (a Parquet file has its metadata at the end). A fingerprint is compared together with
the size. So every change of size is noticed, and every change that touches a block; a change of the same length
between two blocks is not. Reading a terabyte in full would take longer than planning its run.

XXH3 is fast and detects accidental changes. It does not protect against deliberately constructed collisions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain

import xxhash

WHOLE_BYTES = 16 * 2**20
"""Files up to this size are hashed in full."""

NUM_BLOCKS = 256
BLOCK_BYTES = 16 * 2**10

_READ_BYTES = 2**20
_THREADS = 16
_PORTION = 64
"""Files per task of a thread: handing over one file costs as much as hashing a small one."""


def fingerprint(size: int, read: Callable[[int, int], bytes]) -> str:
    """Return the fingerprint of a file.

    Args:
        size: Size of the file in bytes.
        read: Callback that returns the bytes `[start, stop)`.
    """
    digest = xxhash.xxh3_128()
    for start, stop in _parts(size):
        digest.update(read(start, stop))
    return f"xxh3:{digest.hexdigest()}"


def file_fingerprint(path: str) -> tuple[int, str]:
    """Return the size and the fingerprint of a local file.

    Within a process, a file is read again only if its size, modification time or inode has changed.

    Raises:
        OSError: The file cannot be read.
    """
    found = os.stat(path)
    return found.st_size, _remembered(path, found.st_size, found.st_mtime_ns, found.st_ino)


def file_fingerprints(paths: Sequence[str]) -> list[tuple[int, str]]:
    """Return the sizes and the fingerprints of local files, in order; several files are read in parallel.

    Raises:
        OSError: A file cannot be read.
    """
    portions = [paths[at : at + _PORTION] for at in range(0, len(paths), _PORTION)]
    if len(portions) == 1:
        return [file_fingerprint(path) for path in paths]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda portion: [file_fingerprint(path) for path in portion], portions)
        return list(chain.from_iterable(found))


@lru_cache(maxsize=10_000)
def _remembered(path: str, size: int, *_: int) -> str:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        if size > WHOLE_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # disable read-ahead
        return fingerprint(size, partial(_read, descriptor))
    finally:
        os.close(descriptor)


def _read(descriptor: int, start: int, stop: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    content = os.read(descriptor, stop - start)
    while len(content) < stop - start and (more := os.read(descriptor, stop - start - len(content))):
        content += more
    return content


def _parts(size: int) -> list[tuple[int, int]]:
    """Return the ranges of a file that are hashed."""
    if size <= WHOLE_BYTES:
        return [(start, min(start + _READ_BYTES, size)) for start in range(0, size, _READ_BYTES)]
    starts = ((size - BLOCK_BYTES) * index // (NUM_BLOCKS - 1) for index in range(NUM_BLOCKS))
    return [(start, start + BLOCK_BYTES) for start in starts]
