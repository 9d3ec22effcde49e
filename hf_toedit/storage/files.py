"""Files that appear whole or not at all, whenever a process dies; and what is left of one that did.

Local ones are renamed from a temporary name beside them; those in storage are put there, once they are whole in a
temporary file of this machine. What differs between the two is here, in `hf_toedit.storage.remote`, and in the order of
`RunFolder.write_shard`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hf_toedit.errors import RunError
from hf_toedit.storage.remote import AnyPath, RemotePath
from hf_toedit.storage.temporary import is_abandoned, temporary_name
from hf_toedit.threads import in_threads

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_HASH_BLOCK = 2**20

_READS = 16
"""Small files read from storage at the same time."""

_PORTION = 256
"""Small files held in memory at the same time."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextmanager
def temporary_file(path: AnyPath) -> Iterator[Path]:
    """A local path to write what is to come to lie at `path`; removed in the end if it is still there.

    Raises:
        RunError: it cannot be written.
    """
    folder = path.parent if isinstance(path, Path) else Path(tempfile.gettempdir())
    temporary = folder / temporary_name(path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as error:
        raise RunError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        with suppress(OSError):  # a folder that cannot be written holds none to remove
            temporary.unlink()


def put(temporary: Path, path: AnyPath) -> None:
    """Let a temporary file appear at `path`.

    The folder is not synced: a name that a power failure takes back leaves work to be done again, and nothing half.
    """
    if isinstance(path, Path):
        os.replace(temporary, path)
    else:
        path.put(temporary)


@contextmanager
def whole_file(path: AnyPath, synced: bool = True) -> Iterator[Path]:
    """A temporary path whose file appears at `path` if all goes well, and is removed if not.

    Args:
        path: of the file.
        synced: wait until its content is on the disk; not needed where it tells by itself whether it is whole.

    Raises:
        RunError: it cannot be written.
    """
    with temporary_file(path) as temporary:
        yield temporary
        if synced and isinstance(path, Path):
            sync(temporary)
        put(temporary, path)


def sizes_in(folder: AnyPath) -> dict[str, int]:
    """Bytes of the files in a folder, by name, in one listing; none where it cannot be read."""
    if isinstance(folder, RemotePath):
        return folder.sizes()
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    return {}


def names_in(folder: AnyPath) -> list[str]:
    """Names of the files and folders in a folder, in order; none where it cannot be read."""
    with suppress(OSError):
        return sorted(path.name for path in folder.iterdir())
    return []


def names_below(folder: AnyPath) -> list[str]:
    """The paths, from a folder, of all files in it and in the folders in it; none where it cannot be read."""
    if isinstance(folder, RemotePath):
        return folder.names_below()
    found = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return [path.relative_to(folder).as_posix() for path in found]


def each(call: Callable[[_Item], _Result], items: Iterable[_Item], of: AnyPath) -> Iterator[tuple[_Item, _Result]]:
    """What a call answers for each item, in order; several calls at the same time where `of` is in storage."""
    if isinstance(of, Path):
        yield from ((item, call(item)) for item in items)
        return
    waiting = iter(items)
    while portion := list(islice(waiting, _PORTION)):
        answers: dict[int, _Result] = {}

        def answer(number: int, portion: list[_Item] = portion, answers: dict[int, _Result] = answers) -> None:
            answers[number] = call(portion[number])

        in_threads(answer, range(len(portion)), min(_READS, len(portion)))
        yield from ((item, answers[number]) for number, item in enumerate(portion))


@contextmanager
def parquet_file(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read from, in bounded memory, wherever it lies."""
    import pyarrow.parquet as pq

    if isinstance(path, Path):
        with pq.ParquetFile(path) as file:
            yield file
    else:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            yield file


def sweep(folder: AnyPath) -> None:
    """Remove the temporary files that processes of this machine left when they died."""
    if isinstance(folder, RemotePath):
        scratch = Path(tempfile.gettempdir())
        for place in (folder, scratch):
            for name in filter(is_abandoned, sizes_in(place)):
                with suppress(OSError):  # somebody else's
                    (place / name).unlink(missing_ok=True)
        return
    for parent, _, names in os.walk(folder):  # unlike `rglob`, at ease with folders that another process removes
        for name in names:
            if is_abandoned(name):
                Path(parent, name).unlink(missing_ok=True)


def remove_empty(folder: AnyPath) -> None:
    """Remove a folder if it is empty; storage has no such folders."""
    if isinstance(folder, Path):
        with suppress(OSError):
            folder.rmdir()


def sha256(path: AnyPath) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return "no space left on the device. Free some and run the same command again; finished shards are kept."
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return "the folder cannot be written. Check its permissions, or name another."
    return f"{error.strerror or error}."


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
