"""Standard output and standard error of a command, on which any text can be printed, whatever their encoding is."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_ESCAPED = "hf_toedit.escaped"
"""The error handler, as `codecs` knows it."""


@contextmanager
def encodable_streams() -> Iterator[None]:
    r"""Print what a stream cannot encode as `\u2265`; the streams are left as they were found.

    A dataset holds texts in any script, and our tables and marks are not ASCII either; pipes, old terminals and Windows
    may take ASCII or one page of code only. Escapes of this form keep JSON what it is, as those of Python do not.
    """
    with ExitStack() as after:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                after.callback(_restore, stream, stream.errors)
                stream.reconfigure(errors=_ESCAPED)
        yield


def _restore(stream: io.TextIOWrapper, errors: str | None) -> None:
    if not stream.closed:
        stream.reconfigure(errors=errors)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write characters as JSON does: in units of UTF-16, of which some characters have two."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(_ESCAPED, _escape)
