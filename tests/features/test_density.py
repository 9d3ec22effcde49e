from __future__ import annotations

import numpy as np
import pytest

from hf_toedit.features.density import NUM_BUCKETS, NUM_ROWS, DensityTable, MinHash
from hf_toedit.features.ngrams import words
from tests.shared import texts


def grams(text: str) -> set[object]:
    found = list(words(text))
    return {*found, *zip(found, found[1:], strict=False)}


def alike(text: str, other: str) -> float:
    """Compute the Jaccard similarity directly."""
    mine, theirs = grams(text), grams(other)
    return len(mine & theirs) / len(mine | theirs)


def test_as_many_hashes_are_equal_as_two_texts_have_in_common() -> None:
    some = texts("web_dolma_cc_200")[:60] + texts("synthetic_tinystories_500")[:60]
    found = MinHash().buckets(some)
    pairs = np.random.default_rng(0).choice(len(some), (200, 2))
    expected = np.array([alike(some[a], some[b]) for a, b in pairs])
    errors = (found[pairs[:, 0]] == found[pairs[:, 1]]).mean(axis=1) - expected
    assert abs(errors.mean()) < 0.005
    assert np.sqrt((errors**2).mean()) < 0.025


def test_densities_are_mean_similarities() -> None:
    some = texts("web_dolma_cc_200")[:80] + texts("synthetic_tinystories_500")[:80]
    buckets = MinHash().buckets(some)
    table = DensityTable()
    table.add(buckets[:100])
    table.add(buckets[100:])
    expected = np.array([np.mean([alike(text, other) for other in some]) for text in some[::8]])
    assert table.densities(buckets)[::8] == pytest.approx(expected, abs=0.015)
    assert np.corrcoef(table.densities(buckets)[::8], expected)[0, 1] > 0.95


def test_a_text_does_not_depend_on_those_beside_it() -> None:
    some = ["one two three", "", "four", "one two three"]
    together, alone = MinHash().buckets(some), [MinHash().buckets([text])[0] for text in some]
    assert together.tolist() == np.array(alone).tolist()
    assert together[0].tolist() == together[3].tolist() and together.max() < NUM_BUCKETS
    assert (together[0] == together[1]).mean() < 0.01


def test_responses_are_shares_of_the_texts_in_descending_order() -> None:
    table = DensityTable()
    table.add(MinHash().buckets(["the same text"] * 9 + ["another one"]))
    found = table.responses()
    assert found.shape == (NUM_BUCKETS,) and np.all(np.diff(found) <= 0)
    assert found[0] == pytest.approx(0.9, abs=0.01) and found.sum() == pytest.approx(1)


def test_nothing_is_like_nothing() -> None:
    assert DensityTable().densities(MinHash().buckets(["a b"])).tolist() == [0]
    assert MinHash().buckets([]).shape == (0, NUM_ROWS)
