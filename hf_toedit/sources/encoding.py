"""Bytes of text files that are not UTF-8: where, what they seem to be instead, and what to do."""

from __future__ import annotations

import codecs

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before that of UTF-16, with which it begins
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

_MAGIC = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow file",
    b"\x1f\x8b": "compressed with gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ\0": "compressed with xz",
    b"PK\x03\x04": "a ZIP archive",
    b"SQLite format 3\0": "an SQLite database",
    b"%PDF-": "a PDF document",
}


_BEGINNING = 64
"""Bytes in which a zero tells a file that is not text."""


class NotText(ValueError):
    """Bytes that are not text in UTF-8; says where, and what to do, as the end of a sentence that names the file."""


def decoded(line: bytes, number: int) -> str:
    """The text of a line, without the mark (BOM) that UTF-8 may begin with.

    Args:
        line: Its bytes, or several lines.
        number: Of the line, from 1.

    Raises:
        NotText: It is not UTF-8.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        if number == 1:
            _check_beginning(line)
        start = line.rfind(b"\n", 0, error.start) + 1
        at = number + line.count(b"\n", 0, error.start)
        raise NotText(
            f"line {at:,} is not UTF-8 (byte 0x{line[error.start]:02x} at its byte {error.start - start + 1:,}). "
            f"Convert the file, such as with `iconv -f LATIN1 -t UTF-8`, and plan with the result."
        ) from error
    if number == 1 and "\0" in text[:_BEGINNING]:
        _check_beginning(line)
    return text


def beginning(head: bytes) -> str:
    """The text that a file begins with.

    Args:
        head: Its first bytes, which may end within a character.

    Raises:
        NotText: It is not UTF-8.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return decoded(head, 1)
    if "\0" in text[:_BEGINNING]:
        _check_beginning(head)
    return text


def _check_beginning(head: bytes) -> None:
    """Say what a file is that is not text, or not UTF-8, where its first bytes say so."""
    known = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if known:
        raise NotText(f"it is {known}, which the ending of its name does not say. Rename it.")
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if mark is None and [byte == 0 for byte in head[:4]] in ([False, True] * 2, [True, False] * 2):
        mark = "UTF-16LE" if head[0] else "UTF-16BE"
    if mark:
        raise NotText(f"it is {mark}, not UTF-8. Convert it with `iconv -f {mark} -t UTF-8`, and plan with the result.")
