from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.errors import UsageError
from hf_toedit.features.importance import gumbel_scores, log_ratios, log_weights, row_keys, top_k
from hf_toedit.features.ngrams import HashedNgrams, HashedTexts, Ngrams
from tests.shared import texts

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "40"))


def as_unigrams(counts: np.ndarray) -> HashedTexts:
    """Return texts with given features `[n, buckets]`."""
    n, buckets = counts.shape
    offsets = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    flat = np.repeat(np.tile(np.arange(buckets), n), counts.reshape(-1))
    return HashedTexts(Ngrams(flat, offsets, buckets), Ngrams(flat[:0], np.zeros(n + 1, np.int64), buckets))


def test_log_weights_are_those_of_the_authors_package(tmp_path: Path) -> None:
    package = pytest.importorskip("data_selection")
    counts_of = pytest.importorskip("data_selection.hashed_ngram_dsir").get_ngram_counts
    raw, target = texts("web_dolma_cc_en_head"), texts("biomed_pubmedqa_l")[:30]
    for name, rows in (("raw", raw), ("target", target)):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    paths = ([str(tmp_path / "raw.jsonl")], [str(tmp_path / "target.jsonl")])
    theirs = package.HashedNgramDSIR(*paths, cache_dir=str(tmp_path / "cache"), num_proc=1)
    theirs.fit_importance_estimator()
    theirs.compute_importance_weights()
    expected = np.load(tmp_path / "cache/log_importance_weights/0.npy")

    features, wanted = (np.array([counts_of(text) for text in rows]) for rows in (raw, target))
    ratios = log_ratios(wanted.sum(axis=0), features.sum(axis=0))
    assert np.abs(log_weights(as_unigrams(features), ratios) - expected).max() < 1e-6
    assert np.abs(expected).max() > 100


def test_weights_with_our_own_features() -> None:
    counter = HashedNgrams()
    web, papers = counter.count(texts("web_dolma_cc_200")), counter.count(texts("biomed_pubmedqa_l")[:200])
    ratios = log_ratios(papers.total(), web.total())
    p_target, p_raw = papers.total() / papers.total().sum(), web.total() / web.total().sum()
    assert ratios[:50].tolist() == pytest.approx(
        [np.log((t + 1e-8) / (r + 1e-8)) for t, r in zip(p_target[:50], p_raw[:50], strict=True)]
    )
    assert (log_weights(papers, ratios) > 0).mean() > 0.99
    assert (log_weights(web, ratios) < 0).mean() > 0.99
    assert log_weights(counter.count([""]), ratios).tolist() == [0]


def test_data_without_words_are_refused() -> None:
    none, some = np.zeros(5, np.int64), np.ones(5, np.int64)
    with pytest.raises(UsageError, match="The target has no words"):
        log_ratios(none, some)
    with pytest.raises(UsageError, match="The source has no words"):
        log_ratios(some, none)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.text(max_size=3)), max_size=12), st.randoms(), st.integers(0, 15))
def test_a_sample_depends_on_no_order_and_no_shards(rows, rng, k) -> None:
    rows = list(dict(map(reversed, rows)).items())  # one row per name

    def sample(rows, shards: int) -> set[str]:
        parts = [rows[shard::shards] for shard in range(shards)]
        keys = [row_keys([name for name, _ in part]) for part in parts]
        scores = [gumbel_scores(np.array([w for _, w in p]), key, 7) for p, key in zip(parts, keys, strict=True)]
        names = [name for part in parts for name, _ in part]
        return {names[place] for place in top_k(np.concatenate(scores), np.concatenate(keys), k)}

    chosen = sample(rows, 1)
    assert len(chosen) == min(k, len(rows))
    assert sample(rng.sample(rows, len(rows)), 1) == sample(rows, 3) == chosen


def test_rows_are_sampled_by_weight_without_replacement() -> None:
    """For three rows with weights 1, 2 and 5, pairs are sampled as often as by successive draws."""
    weights, keys = np.log([1.0, 2.0, 5.0]), row_keys(["a", "b", "c"])
    trials = 5_000
    pairs = [tuple(top_k(gumbel_scores(weights, keys, seed), keys, 2).tolist()) for seed in range(trials)]
    p = np.array([1, 2, 5]) / 8
    for a, b in ((0, 1), (0, 2), (1, 2)):
        expected = p[a] * p[b] / (1 - p[a]) + p[b] * p[a] / (1 - p[b])
        assert pairs.count((a, b)) / trials == pytest.approx(expected, abs=4 * np.sqrt(expected / trials))


def test_noise_is_gumbels() -> None:
    noise = gumbel_scores(np.zeros(200_000), np.arange(200_000, dtype=np.uint64), 1)
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=0.015)
    assert noise.std() == pytest.approx(np.pi / np.sqrt(6), abs=0.015)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.01
    other = gumbel_scores(np.zeros(200_000), np.arange(200_000, dtype=np.uint64), 2)
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.01


def test_top_k() -> None:
    keys = np.array([5, 3, 4, 1, 2], np.uint64)
    scores = np.array([1.0, 2.0, 1.0, 1.0, -np.inf])
    assert top_k(scores, keys, 3).tolist() == [1, 2, 3]  # among the equal scores, those with keys 4 and 1
    assert top_k(scores, keys, 0).tolist() == []
    assert top_k(scores, keys, 9).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(UsageError, match="1 of 5 scores are not numbers"):
        top_k(np.where(scores == 2, np.nan, scores), keys, 1)
    with pytest.raises(UsageError, match="k -1 is out of range"):
        top_k(scores, keys, -1)
