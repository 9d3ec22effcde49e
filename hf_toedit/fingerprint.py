"""The fingerprint of a file: it depends on what the file holds, never on where it is or when it was written.

A file of up to 16 MiB is hashed whole: `xxh3:` and its XXH3-128, which `xxhsum -H2 FILE` prints as well. Of a larger
file 256 blocks of 16 KiB are hashed: block i of 0 to 255 begins at byte `(size - 16384) * i // 255`, so that the first
and the last bytes are among them (a Parquet file says at its end what it holds). A fingerprint is compared together
with the size. So every change of size is noticed, and every change that touches a block; a change of the same length
between two blocks is not. To read a terabyte in full would take longer than to plan its run.

XXH3 is fast and tells accidents; it is not made to withstand somebody who wants two files to have one fingerprint.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain

import xxhash

WHOLE_BYTES = 16 * 2**20
"""Files that are not larger are hashed whole."""

NUM_BLOCKS = 256
BLOCK_BYTES = 16 * 2**10

_READ_BYTES = 2**20
_THREADS = 16
_PORTION = 64
"""Files that a thread takes at a time: to hand one over costs as much as to hash a small one."""


def fingerprint(size: int, read: Callable[[int, int], bytes]) -> str:
    """The fingerprint of a file.

    Args:
        size: Its bytes.
        read: Returns the bytes `[start, stop)`.
    """
    digest = xxhash.xxh3_128()
    for start, stop in _parts(size):
        digest.update(read(start, stop))
    return f"xxh3:{digest.hexdigest()}"


def file_fingerprint(path: str) -> tuple[int, str]:
    """The size and the fingerprint of a local file.

    A process reads a file again only if its size, its time of change or its inode is another one.

    Raises:
        OSError: It cannot be read.
    """
    found = os.stat(path)
    return found.st_size, _remembered(path, found.st_size, found.st_mtime_ns, found.st_ino)


def file_fingerprints(paths: Sequence[str]) -> list[tuple[int, str]]:
    """The sizes and the fingerprints of local files, in order; several are read at the same time.

    Raises:
        OSError: One cannot be read.
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
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # do not read ahead of a block
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
    """The parts of a file that are hashed."""
    if size <= WHOLE_BYTES:
        return [(start, min(start + _READ_BYTES, size)) for start in range(0, size, _READ_BYTES)]
    starts = ((size - BLOCK_BYTES) * index // (NUM_BLOCKS - 1) for index in range(NUM_BLOCKS))
    return [(start, start + BLOCK_BYTES) for start in starts]
