"""Which tests take long: `make test` leaves them to `make test-long`, and CI runs both."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent

LONG = {
    "browser": "open the demo in Chromium",
    "runs/test_chaos.py": "kill runs at many moments",
}
"""Folders and files, and what their tests do."""


def is_long(file: Path) -> bool:
    """Whether the tests of a file take long."""
    name = file.relative_to(TESTS)
    return any(part.as_posix() in LONG for part in (name, *name.parents))
