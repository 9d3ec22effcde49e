"""The command in a separate process."""

from __future__ import annotations

import subprocess
import sys


def hf_toedit(*args: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "hf_toedit", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env)
