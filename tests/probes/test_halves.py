"""What a probe says of two halves of one dataset, and of a variant whose words were shuffled."""

from __future__ import annotations

import random
from pathlib import Path

from tests.probes.small import probed, shuffled, stories

TRIALS = 20
PLANTED = 10
"""Of the trials: as many have a variant with shuffled words beside the halves."""


def test_halves_are_alike_and_shuffled_words_are_worse(tmp_path: Path) -> None:
    documents = stories(400, length=300)
    verdicts: dict[str, list[str]] = {"half": [], "shuffled": []}
    for trial in range(TRIALS):
        found = random.Random(trial).sample(documents, len(documents))
        held_out, halves = found[:80], (found[80:240], found[240:])
        variants = {"reference": halves[0], "half": halves[1]}
        if trial < PLANTED:
            variants["shuffled"] = shuffled(halves[0], trial)
        report = probed(tmp_path / str(trial), variants, held_out)
        for name, comparison in report["comparisons"].items():
            verdicts[name].append(comparison["verdict"])
    assert verdicts["shuffled"] == ["worse"] * PLANTED
    assert verdicts["half"].count("no difference seen") >= TRIALS - 1, verdicts["half"]
