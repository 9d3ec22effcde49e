"""Decompression of files by their extensions, as in `fsspec`, with an error for truncated files.

`fsspec`'s reader for zstd, which `datasets` uses as well, silently stops at the end of a truncated file, so rows would
be lost; it also cannot read line by line. Importing this module replaces that reader for the whole process.
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
"""Compressed bytes per step: few, as they may expand to many."""


def compression(place: str) -> str | None:
    """Return the compression of a file by its name, as `fsspec` calls it; None if it is not compressed."""
    return fsspec.utils.infer_compression(urlsplit(place).path if is_web(place) else place)


def decompressed(place: str, size: int) -> BinaryIO:
    """Open a local, stored or web file; its content is decompressed.

    Args:
        place: Path or URL.
        size: Size of the file in bytes.
    """
    raw: Any = io.BufferedReader(WebFile(place, size), PART_BYTES) if is_web(place) else fsspec.open(place, "rb").open()
    kind = compression(place)
    return fsspec.compression.compr[kind](raw, mode="rb") if kind else raw


class _Zstd(io.RawIOBase):
    """A file of consecutive zstd frames."""

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
