"""Runs that are killed between their batches: the state that survives, and times to kill."""

from __future__ import annotations

import glob
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.command import HfToEdit


@pytest.fixture(scope="session")
def keeping(hf_toedit: HfToEdit) -> Iterator[HfToEdit]:
    """Return the command with a journal that is written after each batch."""
    with hf_toedit.beside(HF_TOEDIT_JOURNAL_S="0") as command:
        yield command


def kept(run: Path) -> set[str]:
    """Return the state that survives a kill: parts of the journal, and finished passes."""
    patterns = ("toedit/work/*/*/[!.]*", "data/*/[!.]*", "toedit/stats/result/[!.]*")
    # Unlike `Path.glob`, it tolerates folders that the run removes meanwhile.
    return {path for pattern in patterns for path in glob.glob(pattern, root_dir=run)}


def some_time_after_a_batch(run: Path, chance: random.Random) -> Callable[[], bool]:
    """Return a condition that is true some time after a process has saved more state."""
    before, then = kept(run), chance.uniform(0, 0.3)
    return lambda: bool(kept(run) - before) and not time.sleep(then)
