"""Python code in the README or a card, run as a reader would, in a separate process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.cli.command import python
from tests.processes import LEAVE

PRINTED = re.compile(r"^print\(.*\)\n((?:# .*\n)+)", re.MULTILINE)
"""A call of print, followed by its output in comments."""


def run_snippet(code: str, checks: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run code, and then checks of its results, in a folder; its output must be the documented one."""
    done = python(f"{code}\n{checks}\n{LEAVE}", cwd=folder, env=environment)
    assert done.code == 0, done.stderr
    shown = "".join(re.sub("^# ", "", lines, flags=re.MULTILINE) for lines in PRINTED.findall(code))
    assert shown in done.stdout
