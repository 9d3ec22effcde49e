"""Python that the README or a card shows, run as a reader would, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# A stream of `datasets` that is not read to its end may abort the interpreter as it ends (apache/arrow 45214).
_END = "import os, sys; sys.stdout.flush(); os._exit(0)"


def run_snippet(code: str, checks: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run code, and then what checks the outcome, in a folder."""
    subprocess.run([sys.executable, "-c", f"{code}\n{checks}\n{_END}"], check=True, cwd=folder, env=environment)
