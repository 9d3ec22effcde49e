"""Runs that are killed between their batches: what they keep, and when to kill them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.command import HfToEdit


@pytest.fixture(scope="session")
def keeping(hf_toedit: HfToEdit) -> Iterator[HfToEdit]:
    """The command, which writes to the journal after each batch."""
    with hf_toedit.beside(HF_TOEDIT_JOURNAL_S="0") as command:
        yield command


def kept(run: Path) -> set[str]:
    """What a kill does not take: parts of the journal, and the passes that are done."""
    files = (*run.glob("toedit/work/*/*/[!.]*"), *run.glob("data/*/[!.]*"), *run.glob("toedit/stats/result/[!.]*"))
    return {str(path.relative_to(run)) for path in files}


def some_time_after_a_batch(run: Path, chance: random.Random) -> Callable[[], bool]:
    """True some time after a process has something more that a kill does not take."""
    before, then = kept(run), chance.uniform(0, 0.3)
    return lambda: bool(kept(run) - before) and not time.sleep(then)
