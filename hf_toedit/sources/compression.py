"""How files are decompressed: by the endings of their names, as `fsspec` has it, and never cut short in silence.

To the reader of `fsspec` for zstd, which `datasets` uses as well, a file that is cut ends where it is cut: rows would
be lost. It cannot read line by line either. When this is imported, another takes its place, for the whole process.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import fsspec
import fsspec.compression
import fsspec.utils
import zstandard

from hf_toedit.sources.web import PART_BYTES, WebFile, is_web

_INPUT_BYTES = 2**14
"""What is decompressed at a time: little, as a few bytes may become many."""


def compression(place: str) -> str | None:
    """By the name of a file, as `fsspec` calls it; None where it is not compressed."""
    return fsspec.utils.infer_compression(urlsplit(place).path if is_web(place) else place)


def decompressed(place: str, size: int) -> BinaryIO:
    """A file of this machine, of storage or the web, opened; what it holds is decompressed.

    Args:
        place: Path or URL.
        size: Bytes of the file.
    """
    raw: Any = io.BufferedReader(WebFile(place, size), PART_BYTES) if is_web(place) else fsspec.open(place, "rb").open()
    kind = compression(place)
    return fsspec.compression.compr[kind](raw, mode="rb") if kind else raw


class _Zstd(io.RawIOBase):
    """A file of zstd frames, one behind the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            self._input = self._input or self._file.read(_INPUT_BYTES)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        part = self._output[: len(buffer)]
        self._output = self._output[len(part) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


def _zstd(write: Any, file: BinaryIO, mode: str = "rb", **options: Any) -> Any:
    return io.BufferedReader(_Zstd(file), 2**20) if "r" in mode else write(file, mode=mode, **options)


_before = fsspec.compression.compr.get("zstd")
fsspec.compression.register_compression("zstd", partial(_zstd, _before), "zst", force=True)
