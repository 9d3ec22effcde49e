"""Twenty probes: planted differences are found, and halves of one dataset are not distinguished."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.probes.small import probed, shuffled, stories

PROBES = 20


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: so small a model does not gain from more, and would wait for them when other tests run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_planted_differences_and_halves(tmp_path: Path) -> None:
    """Shuffled words are worse in 10 of 10 probes; halves differ in at most 3 of 20.

    Where halves do not differ, an interval of 95 % leaves out 0 in 1 of 20, and in more than 3 once in 60 times.
    """
    documents = stories(360)
    words = []
    for number in range(PROBES):
        gc.collect()
        gc.freeze()  # `Trainer` collects garbage, which takes longer than the training if all objects are scanned
        mixed = random.Random(number).sample(documents, len(documents))
        held_out, first, second = mixed[:60], mixed[60:210], mixed[210:]
        variants = {"first": first, "second": second}
        if number < 10:
            variants["shuffled"] = shuffled(first, number)
        found = probed(tmp_path / str(number), variants, held_out, num_tokens=12_288)
        words.append({name: entry["verdict"] for name, entry in found["comparisons"].items()})
    gc.unfreeze()
    assert [found["shuffled"] for found in words[:10]] == ["worse"] * 10
    assert sum(found["second"] != "no difference seen" for found in words) <= 3
