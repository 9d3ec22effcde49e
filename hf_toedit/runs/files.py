"""Files that appear whole or not at all, whenever a process dies; and what is left of one that did."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hf_toedit.errors import RunError

TEMPORARY = re.compile(r"\.(?P<pid>\d+)@(?P<host>.*)\.[0-9a-f]{32}\.tmp$")
"""How the name of a temporary file ends."""

_HASH_BLOCK = 2**20


@contextmanager
def whole_file(path: Path, synced: bool = True) -> Iterator[Path]:
    """A temporary path whose file is synced and renamed to `path` if all goes well, and removed if not.

    The folder is not synced: a name that a power failure takes back leaves work to be done again, and nothing half.

    Args:
        path: of the file.
        synced: wait until its content is on the disk; not needed where it tells by itself whether it is whole.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}@{platform.node()}.{uuid.uuid4().hex}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if synced:
            sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        with suppress(OSError):  # a folder that cannot be written holds none to remove
            temporary.unlink()


def sweep(folder: Path) -> None:
    """Remove the temporary files that processes of this machine left when they died."""
    for parent, _, names in os.walk(folder):  # unlike `rglob`, at ease with folders that another process removes
        for name in names:
            if _abandoned(name):
                Path(parent, name).unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs; one that ended and that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].lstrip().startswith("Z")
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, or a system without /proc
        return True


def _abandoned(name: str) -> bool:
    """Whether the process that wrote a temporary file is gone; one of another machine is let alone."""
    found = TEMPORARY.search(name)
    return found is not None and found["host"] == platform.node() and not is_alive(int(found["pid"]))


def sha256(path: Path) -> str:
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
        return "the folder cannot be written. Check its permissions, or name another with -o."
    return f"{error.strerror or error}."


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
