"""Score runs that are killed repeatedly; HF_TOEDIT_KILLS sets the number of kills."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from shutil import copytree

from tests.cli.command import HfToEdit
from tests.cli.fixtures import parquet
from tests.killing import some_time_after_a_batch
from tests.shared import shared

KILLS = int(os.environ.get("HF_TOEDIT_KILLS", "8"))
ROWS, SHARDS = 140, 2


def test_a_run_of_scores_that_is_killed_again_and_again_ends_as_if_undisturbed(
    keeping: HfToEdit, tmp_path: Path
) -> None:
    """If no work is left before enough kills happened, a shard is deleted."""
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
        num_kills += (
            keeping("run", run, "--quiet", kill_when=some_time_after_a_batch(run, chance)).code == -signal.SIGKILL
        )
    assert keeping("run", run, "--quiet").code == 0
    assert parquet(run) == parquet(undisturbed)
    assert {path.relative_to(run) for path in run.rglob("*")} == {
        path.relative_to(undisturbed) for path in undisturbed.rglob("*")
    }
    assert keeping("verify", run, "--json").json["ok"]
