"""Runs of scores that are killed again and again; HF_TOEDIT_KILLS for another number of kills."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest

from tests.cli.command import HfToEdit
from tests.cli.fixtures import parquet
from tests.shared import shared

KILLS = int(os.environ.get("HF_TOEDIT_KILLS", "20"))
ROWS, SHARDS = 140, 2


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    """The command, which writes to the journal after each batch."""
    with HfToEdit(tmp_path_factory.mktemp("keeping"), {**os.environ, "HF_TOEDIT_JOURNAL_S": "0"}) as command:
        yield command


def _kept(run: Path) -> set[str]:
    """What a kill does not take: parts of the journal, and shards that are done."""
    files = (*run.glob("toedit/work/*/*/[!.]*"), *run.glob("data/*/[!.]*"))
    return {str(path.relative_to(run)) for path in files}


def _after_a_batch(run: Path, chance: random.Random) -> Callable[[], bool]:
    before, then = _kept(run), chance.uniform(0, 0.2)
    return lambda: bool(_kept(run) - before) and not time.sleep(then)


def test_a_run_of_scores_that_is_killed_again_and_again_ends_as_if_undisturbed(
    keeping: HfToEdit, tmp_path: Path
) -> None:
    """Where nothing is left to do before it was killed often enough, a shard is taken away."""
    source, run = shared("data/biomed_pubmedqa_l.jsonl"), tmp_path / "killed"
    what = "--prior", shared("models/stories260K"), "--limit", ROWS, "--num-shards", SHARDS
    assert keeping("score", source, "-o", run, *what, "--plan-only", "--quiet").code == 0
    undisturbed = Path(copytree(run, tmp_path / "undisturbed"))
    assert keeping("run", undisturbed, "--quiet").code == 0

    chance, num_kills = random.Random(11), 0
    while num_kills < KILLS:
        done = sorted((run / "data").rglob("[!.]*.parquet"))
        if len(done) == SHARDS:
            chance.choice(done).unlink()
        num_kills += keeping("run", run, "--quiet", kill_when=_after_a_batch(run, chance)).code == -signal.SIGKILL
    assert keeping("run", run, "--quiet").code == 0
    assert parquet(run) == parquet(undisturbed)
    assert {path.relative_to(run) for path in run.rglob("*")} == {
        path.relative_to(undisturbed) for path in undisturbed.rglob("*")
    }
    assert keeping("verify", run, "--json").json["ok"]
