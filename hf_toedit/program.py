"""Commands in messages, as people can type them.

The program is `hf-toedit`; where it is an extension of `hf`, it is not on the PATH, and is called `hf toedit`.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

NAME = "hf-toedit"

_COMMAND = re.compile(rf"\b{NAME}(?= (?:-|[a-z]|COMMAND\b))")
"""The name where a command or an option follows."""


def is_extension() -> bool:
    """Whether `hf extensions install` made the virtual environment of this process."""
    return Path(sys.prefix).parts[-3:] == ("extensions", NAME, "venv")


def program() -> str:
    """Return the name to type."""
    return NAME.replace("-", " ", 1) if is_extension() else NAME


def as_called(text: str) -> str:
    """Return a text whose commands begin with the name to type."""
    return _COMMAND.sub(program(), text)


def command_line(*words: object, **options: str | None) -> str:
    """Return a command, as a shell reads it; options without a value are left out."""
    given = (word for name, value in options.items() if value for word in (f"--{name}", value))
    return f"{program()} {shlex.join([*map(str, words), *given])}"
