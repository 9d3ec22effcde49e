"""Text files that are not UTF-8: position of the fault, probable encoding, and advice."""

from __future__ import annotations

import codecs

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark is a prefix of this one
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
"""Number of bytes in which a zero byte indicates a file that is not text."""


class NotText(ValueError):
    """Bytes that are not UTF-8 text; the message is the end of a sentence, with the position and advice."""


def decoded(line: bytes, number: int) -> str:
    """Decode a line, without the byte order mark (BOM) that UTF-8 may begin with.

    Args:
        line: Bytes of the line, or of several lines.
        number: Number of the line, from 1.

    Raises:
        NotText: The line is not UTF-8.
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
    """Decode the beginning of a file.

    Args:
        head: First bytes of the file, which may end within a character.

    Raises:
        NotText: The text is not UTF-8.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return decoded(head, 1)
    if "\0" in text[:_BEGINNING]:
        _check_beginning(head)
    return text


def _check_beginning(head: bytes) -> None:
    """Raise an error that names the file type or encoding if the first bytes reveal it."""
    known = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if known:
        raise NotText(f"it is {known}, which the ending of its name does not say. Rename it.")
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if mark is None and [byte == 0 for byte in head[:4]] in ([False, True] * 2, [True, False] * 2):
        mark = "UTF-16LE" if head[0] else "UTF-16BE"
    if mark:
        raise NotText(f"it is {mark}, not UTF-8. Convert it with `iconv -f {mark} -t UTF-8`, and plan with the result.")
