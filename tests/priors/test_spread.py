from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from hf_toedit.config import EditConfig, PriorConfig
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.packing import Window
from hf_toedit.priors.registry import load_prior
from hf_toedit.priors.spread import in_shares, shares
from tests.priors.bits import same_bits

WIDE = 10**6
"""Hidden size of a model whose attention costs next to nothing."""


def windows(*sizes: int) -> list[Window]:
    return [Window(index, 0, size, 0) for index, size in enumerate(sizes)]


def sizes(share: list[Window]) -> int:
    return sum(window.stop for window in share)


def test_each_window_is_in_one_share_in_its_order():
    given = windows(*np.random.default_rng(0).integers(1, 900, 50).tolist())
    found = shares(given, 4, WIDE)
    assert len(found) == 4
    assert sorted((window for share in found for window in share), key=given.index) == given
    assert all(share == sorted(share, key=given.index) for share in found)
    assert max(map(sizes, found)) - min(map(sizes, found)) < 100


def test_a_long_window_is_joined_by_fewer_others_since_its_attention_takes_time():
    given = windows(3_072, *[192] * 80)
    # With hidden states of 64, a token of the long one takes 1 + 3072 / (12 * 64) = 5 times as long, others 1.25 times.
    assert sorted(map(len, shares(given, 2, 64))) == [1 + 8, 72]
    assert sorted(map(len, shares(given, 2, WIDE))) == [1 + 32, 48]


@pytest.mark.parametrize(
    ("given", "most", "count"),
    [
        (windows(), 4, 1),
        (windows(*[500] * 8), 1, 1),
        (windows(*[500] * 2), 4, 1),  # too little work to be worth it
        (windows(*[600] * 3), 8, 3),
        (windows(10_000, 600, 600), 2, 1),  # all would wait for the first one
        (windows(10_000, 9_000, 600), 2, 1),
        (windows(10_000, 9_000, 1_100), 2, 2),
        (windows(*[1_000] * 100), 64, 8),
    ],
)
def test_no_share_waits_long_for_another(given, most, count):
    assert len(shares(given, most, WIDE)) == count


def test_the_cores_are_divided_and_given_back(threads):
    threads(4)
    seen = {}

    def work(share):
        seen[share[0].document] = torch.get_num_threads(), threading.get_ident()

    in_shares(work, [[window] for window in windows(1, 2)])
    assert [count for count, _ in seen.values()] == [2, 2]
    assert threading.get_ident() not in {ident for _, ident in seen.values()}
    assert torch.get_num_threads() == 4
    # A new thread inherits the value of this thread, not that of the others.
    others = []
    thread = threading.Thread(target=lambda: others.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert others == [4]


def test_what_a_share_raises_arrives(threads):
    threads(2)

    def work(share):
        if share[0].document == 1:
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        in_shares(work, [[window] for window in windows(1, 2)])
    assert torch.get_num_threads() == 2


def test_threads_do_not_change_a_bit(threads):
    prior = load_prior(PriorConfig())
    words = "The river rose in the night and by morning the lower fields were under water . ".split()
    order = np.random.default_rng(0)
    texts = [" ".join(order.choice(words, size)) for size in (5, 4000, 300, 40, 900, 2, 1500, 700)]
    documents = Aligner(prior.tokenizer).align(texts)
    rule = SelectionRule(EditConfig(threshold=0.3))
    threads(1)
    alone = prior.score(documents, rule)
    for count in (2, 3):
        threads(count)
        assert len(prior._shares(documents)) == count
        assert same_bits(prior.score(documents, rule), alone)
