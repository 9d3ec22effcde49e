from __future__ import annotations

import base64
import json
import random
import zlib

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit import sketch
from hf_toedit.errors import UsageError
from hf_toedit.features.ngram_groups import NUM_GROUPS, SHAPE, NgramGroups, group_of
from hf_toedit.features.ngrams import NUM_BUCKETS, HashedNgrams, words
from hf_toedit.features.text_stats import TextStats
from tests.features.test_ngrams import EXAMPLES, naive_counts, some_texts
from tests.shared import texts

COUNTER = HashedNgrams()


def stats_of(batch: list[str], seed: int = 0) -> TextStats:
    stats = TextStats()
    stats.add(batch, COUNTER, seed)
    return stats


def test_figures_are_the_naive_ones() -> None:
    batch = [*texts("web_dolma_cc_en_head"), *texts("multilingual_mgsm")[:30], "", "one"]
    stats = stats_of(batch, seed=3)
    data = [text.encode() for text in batch]
    assert stats.num_documents == stats.num_read == len(batch)
    assert stats.num_bytes == sum(map(len, data))
    assert stats.num_characters == sum(map(len, batch))
    assert stats.num_words == stats.num_tokens == sum(len(words(text)) for text in batch)
    assert stats.num_bytes_compressed == sum(len(zlib.compress(each)) for each in data)
    assert stats.compression_ratio == stats.num_bytes / stats.num_bytes_compressed
    for bins, lengths in ((stats.word_bins, [len(words(text)) for text in batch]), (stats.byte_bins, map(len, data))):
        in_order = sorted(lengths)
        for q in (0.01, 0.5, 0.99):
            assert sketch.quantile(bins, q) == pytest.approx(in_order[int(np.ceil(q * len(batch))) - 1], rel=0.01)

    groups = [xxhash.xxh3_64_intdigest(each, seed=3) // 2**58 for each in data]
    assert [group_of(each, 3) for each in data] == groups and len(set(groups)) > 20
    assert stats.group_sizes == [groups.count(group) for group in range(NUM_GROUPS)]
    expected = np.zeros(SHAPE, np.int64)
    for text, group in zip(batch, groups, strict=True):
        expected[:, group] += naive_counts(text, NUM_BUCKETS)
    assert np.array_equal(stats.ngrams.counts, expected)
    assert np.array_equal(stats.ngrams.unigrams, expected[0]) and np.array_equal(stats.ngrams.bigrams, expected[1])
    assert np.array_equal(stats.ngrams.both, expected[0] + expected[1])

    summary = stats.summary()
    assert summary["mean_words"] == stats.num_words / len(batch)
    assert summary["word_quantiles"]["0.5"] == sketch.quantile(stats.word_bins, 0.5)
    assert json.loads(json.dumps(summary)) == summary
    assert stats.headline.startswith("52 documents, ")
    assert "mean_words" not in TextStats().summary()


@settings(max_examples=max(EXAMPLES // 4, 5), deadline=None)
@given(some_texts, st.randoms(use_true_random=False))
def test_merging_is_exact_in_any_order(batch: list[str], rng: random.Random) -> None:
    whole = stats_of(batch)
    assert TextStats.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    shuffled = rng.sample(batch, len(batch))
    cuts = sorted(rng.randint(0, len(batch)) for _ in range(2))
    parts = [stats_of(shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, len(batch)], strict=True)]
    before = [part.ngrams.counts.copy() for part in parts]
    first, second, third = rng.sample(parts, 3)
    assert first.merge(second).merge(third) == third.merge(first.merge(second)) == TextStats.merged(parts) == whole
    assert all(np.array_equal(part.ngrams.counts, counts) for part, counts in zip(parts, before, strict=True))
    # Statistics that were read from JSON can be extended as well.
    read = TextStats.from_json(parts[0].to_json())
    read.add(shuffled[cuts[0] :], COUNTER)
    assert read == whole


def test_skipped_texts_are_counted_apart() -> None:
    stats = stats_of(["a b"])
    stats.add_skipped("null")
    assert (stats.num_documents, stats.num_read, stats.num_skipped["null"]) == (2, 1, 1)
    assert stats.summary()["mean_words"] == 2


def test_equal_texts_are_in_one_group_and_a_seed_makes_others() -> None:
    assert max(stats_of(["the same"] * 9).group_sizes) == 9
    batch = texts("web_dolma_cc_en_head")
    assert stats_of(batch, 1).group_sizes != stats_of(batch, 2).group_sizes
    assert stats_of(batch, 1).ngrams != stats_of(batch, 2).ngrams


def test_json_is_small() -> None:
    batch = texts("biomed_pubmedqa_l")
    assert len(json.dumps(TextStats().to_json())) < 700
    for number in (1, 30, 500):
        some = batch[:number]
        assert len(json.dumps(stats_of(some).to_json())) < 1200 + 0.8 * sum(map(len, some))
    largest = NgramGroups(np.random.default_rng(0).poisson(300, SHAPE) + 1)
    assert NgramGroups.from_json_value(largest.to_json(), "ngrams") == largest
    assert len(largest.to_json()) < 2_500_000


def packed(numbers: list[int]) -> str:
    planes = np.array(numbers, "<i8").view(np.uint8).reshape(-1, 8).T.tobytes()
    return base64.b64encode(zlib.compress(planes)).decode()


def test_json_of_ngrams_is_as_described() -> None:
    counts = np.zeros(SHAPE, np.int64)
    counts[0, 0, 2], counts[1, 63, 9999] = 5, 2**40
    assert NgramGroups.from_json_value(packed([3, counts.size - 3, 5, 2**40]), "ngrams") == NgramGroups(counts)


@pytest.mark.parametrize(
    "broken",
    [
        "no base64!",
        base64.b64encode(b"not zlib").decode(),
        packed([1]),
        packed([0, 1]),
        packed([1, 0]),
        packed([1, -1]),
        packed([int(np.prod(SHAPE)) + 1, 1]),
        packed([2**63 - 1, 2**63 - 1, 1, 1]),
        base64.b64encode(zlib.compress(bytes(16 * int(np.prod(SHAPE)) + 16))).decode(),
    ],
)
def test_broken_ngrams_are_refused(broken: str) -> None:
    with pytest.raises(UsageError) as caught:
        TextStats.from_json({**TextStats().to_json(), "ngrams": broken})
    assert str(caught.value).startswith("ngrams does not hold counts of n-grams: the file is damaged.")


def test_json_of_other_types() -> None:
    for change, said in (
        ({"ngrams": 3}, "ngrams must be a string"),
        ({"group_sizes": [0]}, "group_sizes must be a list of length"),
    ):
        with pytest.raises(UsageError, match=said):
            TextStats.from_json({**TextStats().to_json(), **change})
