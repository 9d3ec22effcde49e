"""The journal of an unfinished shard: its finished batches, so that a killed process loses only seconds of work.

A journal is a folder of parts, `toedit/work/PASS/SHARD/` in the run folder. A part contains batches as compressed JSON
lines, after a line that identifies their pass and data. Its name is its first row and the start of the SHA-256 of its
content, so that damaged parts are detected and two processes in the same shard do not interfere. A batch does not
depend on other batches, so a batch of either process can be used. If a part cannot be used, its rows are simply read
again.

Every few seconds, a process replaces its last part by one that includes the batches since then, until that part is
large enough; so the number of parts stays small, however slow the prior is.

A shard that is finished before the first part is due never has a journal.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections import deque
from contextlib import suppress
from typing import Any

import zstandard

from hf_toedit.errors import RunError
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.passes import Kept, Rows
from hf_toedit.storage.files import remove_empty, sizes_in, whole_file
from hf_toedit.storage.remote import AnyPath

logger = logging.getLogger(__name__)

FORMAT = 2
"""Version of the part format."""

_EVERY_S = 20.0
"""Seconds between two writes; longer than a small shard takes."""

_PART_BYTES = 8 * 2**20
"""Uncompressed size at which a part is complete. Its batches stay in memory until then."""

_MOST_BYTES = 2**28
"""Maximum uncompressed size of a part that is read: a few untrusted kilobytes can expand to gigabytes."""

_NAME = re.compile(r"(\d{12,})-([0-9a-f]{16})\.part")


class Journal:
    """The journal of one pass over one shard."""

    def __init__(self, folder: AnyPath, about: dict[str, Any], statistics: type[Statistics]) -> None:
        """List the existing parts; none is read or written yet.

        Args:
            folder: The folder of the parts.
            about: Everything, as JSON values, that a batch depends on. Parts with other values are not used.
            statistics: The kind of the statistics of a batch.
        """
        self._statistics = statistics
        self._folder = folder
        self._about = {"format": FORMAT, **about}
        self._unread = deque(sorted(name for name in sizes_in(folder) if _NAME.fullmatch(name)))
        self._is_used = bool(self._unread)
        self._known: dict[Rows, Kept] = {}
        self._first_row = 0
        self._lines: list[bytes] = []
        self._last: str | None = None
        self._every_s = float(os.environ.get("HF_TOEDIT_JOURNAL_S", _EVERY_S))
        self._due = time.monotonic() + self._every_s

    def take(self, rows: Rows) -> Kept | None:
        """Return the result of a batch if the journal has it; batches must be requested in order."""
        while self._unread and int(self._unread[0].partition("-")[0]) <= rows[0]:
            self._known |= self._read(self._unread.popleft())
        if self._known:
            self._known = {other: kept for other, kept in self._known.items() if other[0] >= rows[0]}
        return self._known.pop(rows, None)

    def add(self, rows: Rows, kept: Kept) -> None:
        """Add the result of a batch; it is written to disk after some seconds."""
        if not self._lines:
            self._first_row = rows[0]
        entry = [*rows, kept.value, kept.statistics.to_json()]
        self._lines.append(json.dumps(entry, ensure_ascii=False).encode())
        is_complete = sum(map(len, self._lines)) >= _PART_BYTES
        if is_complete or time.monotonic() >= self._due:
            self._write()
            self._due = time.monotonic() + self._every_s
        if is_complete:
            self._lines, self._last = [], None

    def remove(self) -> None:
        """Remove the journal of the finished shard."""
        if self._is_used:
            remove_journal(self._folder)

    def _read(self, name: str) -> dict[Rows, Kept]:
        """Return the batches of a part, or none if it cannot be used."""
        try:
            content = (self._folder / name).read_bytes()
            if _name(int(name.partition("-")[0]), content) != name:
                raise ValueError("its content is damaged")
            if not 0 <= zstandard.frame_content_size(content) <= _MOST_BYTES:
                raise ValueError("its size is not that of a part")
            lines = zstandard.ZstdDecompressor().decompress(content).splitlines()
            if json.loads(lines[0]) != self._about:
                raise ValueError("it belongs to another plan, or to data that were replaced")
            entries = map(json.loads, lines[1:])
            return {
                (first, count): Kept(value, self._statistics.from_json(stats)) for first, count, value, stats in entries
            }
        except Exception as error:  # the content is untrusted
            logger.info("%s is not used: %s. Its rows are read again.", self._folder / name, error)
            return {}

    def _write(self) -> None:
        """Replace the last part. If that fails, the shard continues, and a kill loses more of its work."""
        content = zstandard.ZstdCompressor().compress(b"\n".join([json.dumps(self._about).encode(), *self._lines]))
        name = _name(self._first_row, content)
        self._is_used = True
        try:
            with whole_file(self._folder / name) as temporary:
                temporary.write_bytes(content)
            if self._last is not None:
                (self._folder / self._last).unlink(missing_ok=True)
        except (OSError, RunError) as error:
            logger.warning("unfinished work cannot be kept, and is lost if this process is killed: %s", error)
        else:
            self._last = name


def remove_journal(folder: AnyPath) -> None:
    """Remove the parts in a folder, and the folder unless another process is writing there."""
    for name in filter(_NAME.fullmatch, sizes_in(folder)):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    remove_empty(folder)


def _name(first_row: int, content: bytes) -> str:
    return f"{first_row:012d}-{hashlib.sha256(content).hexdigest()[:16]}.part"
