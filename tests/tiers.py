"""Which tests take long: `make test` leaves them to `make test-long`, and CI runs both."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent

LONG = {
    "benchmarks": "simulate clusters and visitors",
    "browser": "open the demo in Chromium",
    "cli/test_jobs.py": "run jobs that die, on a Hub of this machine",
    "cli/test_lean.py": "make a virtual environment",
    "cli/test_push_along.py": "push while a run is killed",
    "cli/test_quiet.py": "start every command with fresh caches",
    "cli/test_remote.py": "kill runs in storage",
    "cli/test_slurm.py": "start the daemons of Slurm",
    "cli/test_space.py": "serve the demo, and push it",
    "cli/test_unread.py": "run with priors that fail on every text",
    "cli/test_waiting.py": "wait for a Hub and a store that do not answer",
    "engines/test_engine.py": "kill workers and whole runs",
    "engines/test_ray.py": "kill actors and nodes of a Ray cluster",
    "launch/test_slurm.py": "kill tasks of a Slurm cluster",
    "priors/test_memory.py": "measure memory in processes of their own",
    "runs/test_chaos.py": "kill runs at many moments",
    "runs/test_remote.py": "let storage fail at every request",
    "runs/test_store.py": "let writes be broken off at every step",
    "runs/test_types.py": "take every type from source to source",
    "space/test_app.py": "serve the app",
    "tasks/test_kills.py": "kill runs of scores",
    "test_extending.py": "run the examples of docs/extending.md with workers",
}
"""Folders and files, and what their tests do."""


def is_long(file: Path) -> bool:
    """Whether the tests of a file take long."""
    name = file.relative_to(TESTS)
    return any(part.as_posix() in LONG for part in (name, *name.parents))
