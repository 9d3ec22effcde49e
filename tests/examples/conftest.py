"""The scripts of examples/, with the real packages; skipped if one is not installed, unless they are required."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = ("datatrove", "lm_eval", "trl")


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    """Skip the tests if a package for the examples is missing, or fail them if the examples are required."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("HF_TOEDIT_REQUIRE_EXAMPLES"):
        pytest.fail(f"needs {', '.join(missing)}, and HF_TOEDIT_REQUIRE_EXAMPLES is set")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make test-examples")


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a script of examples/ as a user would, in an empty folder, and returns its output."""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}

    def run(name: str, *args: object) -> str:
        command = [sys.executable, str(EXAMPLES / name), *map(str, args)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
