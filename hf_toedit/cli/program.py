"""How people call the command: `hf-toedit`, or as an extension of `hf`, which is not on the PATH, `hf toedit`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

NAME = "hf-toedit"

_COMMAND = re.compile(rf"\b{NAME}(?= (?:--?|[a-z{{]|COMMAND\b))")
"""The name where a command or an option follows."""


def is_extension() -> bool:
    """Whether `hf extensions install` made the virtual environment of this process."""
    return Path(sys.prefix).parts[-3:] == ("extensions", NAME, "venv")


def program() -> str:
    """The name to type."""
    return "hf toedit" if is_extension() else NAME


def as_called(text: str) -> str:
    """Return a text with the name to type in its commands."""
    return _COMMAND.sub(program(), text) if is_extension() else text
