"""Files that appear atomically even if a process dies, and the removal of leftovers of dead processes.

Local files are renamed from a temporary name in the same folder; files in remote storage are uploaded after they were
completed in a local temporary file. All differences between the two are here, in `hf_toedit.storage.remote`, and in the
order of `RunFolder.write_shard`.
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
"""Number of small files read concurrently from remote storage."""

_PORTION = 256
"""Number of small files held in memory at the same time."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextmanager
def temporary_file(path: AnyPath) -> Iterator[Path]:
    """Yield a local path to write the content of `path` to; the file is removed at the end if it still exists.

    Raises:
        RunError: It cannot be written.
    """
    folder = path.parent if isinstance(path, Path) else Path(tempfile.gettempdir())
    temporary = folder / temporary_name(path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not isinstance(path, Path):
            temporary.touch(0o600, exist_ok=False)  # other users of the machine share that folder
        yield temporary
    except OSError as error:
        raise RunError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        with suppress(OSError):  # an unwritable folder contains nothing to remove
            temporary.unlink()


def put(temporary: Path, path: AnyPath) -> None:
    """Make a temporary file appear at `path`.

    The folder is not synced: if a power failure undoes the rename, work must be repeated, but no file is incomplete.
    """
    if isinstance(path, Path):
        os.replace(temporary, path)
    else:
        path.put(temporary)


@contextmanager
def whole_file(path: AnyPath, synced: bool = True) -> Iterator[Path]:
    """Yield a temporary path whose file appears at `path` on success, and is removed on failure.

    Args:
        path: Path of the file.
        synced: Whether to wait until the content is on disk; not needed for files that reveal if they are incomplete.

    Raises:
        RunError: The file cannot be written.
    """
    with temporary_file(path) as temporary:
        yield temporary
        if synced and isinstance(path, Path):
            sync(temporary)
        put(temporary, path)


def sizes_in(folder: AnyPath) -> dict[str, int]:
    """Return the sizes of the files in a folder, in bytes by name, from one listing; empty if it cannot be read."""
    if isinstance(folder, RemotePath):
        return folder.sizes()
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    return {}


def names_in(folder: AnyPath) -> list[str]:
    """Return the names of the files and folders in a folder, in order; empty if it cannot be read."""
    with suppress(OSError):
        return sorted(path.name for path in folder.iterdir())
    return []


def names_below(folder: AnyPath) -> list[str]:
    """Return the relative paths of all files in a folder and its subfolders; empty if it cannot be read."""
    if isinstance(folder, RemotePath):
        return folder.names_below()
    found = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return [path.relative_to(folder).as_posix() for path in found]


def each(call: Callable[[_Item], _Result], items: Iterable[_Item], of: AnyPath) -> Iterator[tuple[_Item, _Result]]:
    """Yield the result of a call for each item, in order; calls are concurrent if `of` is in remote storage."""
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
    """Open a Parquet file, local or remote, for reading in bounded memory."""
    import pyarrow.parquet as pq

    if isinstance(path, Path):
        with pq.ParquetFile(path) as file:
            yield file
    else:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            yield file


def sweep(folder: AnyPath) -> None:
    """Remove temporary files of dead processes of this machine."""
    if isinstance(folder, RemotePath):
        scratch = Path(tempfile.gettempdir())
        for place in (folder, scratch):
            for name in filter(is_abandoned, sizes_in(place)):
                with suppress(OSError):  # the file belongs to another user
                    (place / name).unlink(missing_ok=True)
        return
    for parent, _, names in os.walk(folder):  # unlike `rglob`, tolerates folders that another process removes
        for name in names:
            if is_abandoned(name):
                Path(parent, name).unlink(missing_ok=True)


def remove_empty(folder: AnyPath) -> None:
    """Remove a folder if it is empty; remote storage has no empty folders."""
    if isinstance(folder, Path):
        with suppress(OSError):
            folder.rmdir()


def sha256(path: AnyPath) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
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
    """Wait until the content of a file is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
