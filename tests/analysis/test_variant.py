from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from hf_toedit.analysis.variant import Variant, check_reading, check_texts, coverage, entropy
from hf_toedit.errors import UsageError
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.features.text_stats import TextStats
from hf_toedit.stats import EditStats

COUNTER = HashedNgrams()


def reading(perplexities: Sequence[float] | np.ndarray) -> EditStats:
    """Return statistics of documents of four tokens, each with the same probability."""
    stats = EditStats(num_rows=len(perplexities))
    for perplexity in perplexities:
        stats.add_scores(np.full(4, -math.log(perplexity)))
    return stats


def variant(name: str, texts: Sequence[str], readings: dict[str, EditStats] | None = None) -> Variant:
    """Return a variant whose sample contains all of its texts."""
    stats = TextStats(num_rows=len(texts))
    stats.add(texts, COUNTER)
    return Variant(name, f"{name}.jsonl", "1", stats, readings or {}, texts)


def spread(low: float, high: float, count: int = 1000) -> np.ndarray:
    """Return perplexities at equal steps on a logarithmic scale."""
    return np.geomspace(low, high, count)


def test_coverage_of_the_same_data() -> None:
    stats = reading(spread(2, 200))
    found = coverage(stats, stats)
    assert found["span"] == 1 and found["beyond"] == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    ("other", "span", "beyond"),
    [
        ((4, 16), math.log(2) / math.log(4), math.log(16 / (2 * 4**0.95)) / math.log(4)),  # the upper half and beyond
        ((1.5, 4), 0.5, 0),
        ((3, 6), 0.5, 0),  # inside the reference
        ((1.1, 100), 1, math.log(100 / (2 * 4**0.95)) / math.log(100 / 1.1)),  # the reference and beyond on both sides
        ((9, 20), 0, 1),
        ((1.2, 1.9), 0, 0),
    ],
)
def test_coverage_of_others(other: tuple[float, float], span: float, beyond: float) -> None:
    """The reference ranges from 2 to 8; its outer 1 % on a logarithmic scale is ignored."""
    found = coverage(reading(spread(2, 8)), reading(spread(*other)))
    assert found["span"] == pytest.approx(span, abs=0.02)
    assert found["beyond"] == pytest.approx(beyond, abs=0.02)


def test_coverage_of_a_reference_without_a_spread() -> None:
    reference = reading([5.0] * 10)
    assert coverage(reference, reading([4, 5, 6])) == {"span": 1, "beyond": pytest.approx(1 / 3)}
    assert coverage(reference, reading([6, 7])) == {"span": 0, "beyond": 1}


def test_entropy() -> None:
    assert entropy([1] * 10) == pytest.approx(math.log2(10))
    assert entropy([1, 0, 1, 2]) == pytest.approx(1.5)
    assert entropy([0, 7]) == 0


def test_figures_of_one_variant() -> None:
    stats = reading([2.0, 4.0, 4.0, 16.0])
    found = variant("a", ["one two two", "one"], {"prior": stats}).to_json()
    assert json.loads(json.dumps(found)) == found
    assert (found["source"], found["revision"]) == ("a.jsonl", "1")
    assert (found["texts"]["num_documents"], found["texts"]["num_words"]) == (2, 4)
    assert found["concentration"]["unigrams"]["entropy_bits"] == pytest.approx(1)  # two words, each twice
    assert found["concentration"]["bigrams"]["top_share"] == 1
    of_prior = found["readings"]["prior"]
    assert (of_prior["num_documents"], of_prior["num_tokens"]) == (4, 16)
    assert of_prior["perplexity"] == pytest.approx(2 ** ((1 + 2 + 2 + 4) / 4))
    assert of_prior["perplexity_quantiles"]["0.5"] == pytest.approx(4, rel=0.01)
    assert of_prior["perplexity_quantiles"]["0.995"] == pytest.approx(16, rel=0.01)
    assert of_prior["median_perplexity_interval"] is None  # of four documents
    shares = [0.25, 0, 0.5, 0, 0, 0.25, 0, 0, 0, 0]  # p = 1/16 once, 1/4 twice, 1/2 once
    assert of_prior["probability_shares"] == shares
    assert of_prior["probability_entropy_bits"] == pytest.approx(1.5)
    assert of_prior["max_probability_entropy_bits"] == pytest.approx(math.log2(10))


def test_texts_of_one_word_have_no_bigrams() -> None:
    found = variant("a", ["one", "two"]).to_json()
    assert list(found["concentration"]) == ["unigrams"]
    json.dumps(found, allow_nan=False)


def test_a_variant_without_text_is_named() -> None:
    empty = TextStats()
    empty.add_skipped("null")
    for stats in (TextStats(), empty, variant("a", [" \n", "\t"]).texts):
        with pytest.raises(UsageError, match=r"variant 'a' \(a.jsonl\) has no text. Name the column .* --text-column."):
            check_texts("a", "a.jsonl", stats)
    check_texts("a", "a.jsonl", variant("a", ["", "one"]).texts)


def test_a_variant_without_probabilities_is_named() -> None:
    """A prior without BOS gives no probability to the first token of a text."""
    stats = EditStats()
    stats.add_scores(np.array([np.nan]))
    with pytest.raises(UsageError, match="prior org/name gave no token of variant 'a' a probability"):
        check_reading("a", "org/name", stats)
    check_reading("a", "org/name", reading([3]))
