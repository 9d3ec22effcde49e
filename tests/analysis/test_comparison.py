from __future__ import annotations

import json
from typing import Any

import pytest

from hf_toedit.analysis.comparison import compared
from hf_toedit.analysis.plots import draw_plots
from hf_toedit.analysis.report import markdown_report
from hf_toedit.analysis.similarity import similarities
from hf_toedit.errors import UsageError
from hf_toedit.features.diversity import diversity
from hf_toedit.features.ngrams import words
from tests.analysis.test_variant import reading, spread, variant
from tests.shared import texts

STORIES = texts("synthetic_tinystories_500")
PAPERS = texts("biomed_pubmedqa_l")[:200]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Compare the two halves of one dataset, and another dataset."""
    halves = variant("half", STORIES[::2]), variant("other_half", STORIES[1::2])
    return compared([*halves, variant("papers", PAPERS)])


def test_verdicts(report: dict[str, Any]) -> None:
    assert report["reference"] == "half" and list(report["variants"]) == ["half", "other_half", "papers"]
    assert list(report["comparisons"]) == ["other_half", "papers"]
    alike, different = report["comparisons"].values()
    assert alike["verdict"] == "no difference seen" and "can be noise" in alike["reason"]
    assert different["verdict"] == "pure synthetic"
    for found in (alike, different):
        assert list(found["divergence"]) == ["both", "unigrams", "bigrams"]
        assert found["verdict"] == found["divergence"]["both"]["verdict"] and found["coverage"] == {}
    figures = different["divergence"]["both"]["figures"]
    assert figures["js"]["low"] > figures["js"]["noise_high"] > 0
    json.dumps(report, allow_nan=False)


def test_variety_is_of_as_many_words_of_each(report: dict[str, Any]) -> None:
    fewest = min(sum(len(words(text)) for text in part) for part in (STORIES[::2], STORIES[1::2], PAPERS))
    assert [found["diversity"]["num_words"] for found in report["variants"].values()] == [fewest] * 3
    whole = [part for part in (STORIES[::2], STORIES[1::2], PAPERS) if sum(map(len, map(words, part))) == fewest]
    expected = diversity(whole[0])
    [found] = [
        found["diversity"]
        for found in report["variants"].values()
        if found["diversity"]["num_documents"] == expected.num_documents
    ]
    assert found["distinct"] == {str(order): share for order, share in expected.distinct.items()}


def test_one_text_is_cut_where_the_sample_of_the_other_ends() -> None:
    found = compared([variant("long", ["a b c d e f g"]), variant("short", ["a b", "c"])])
    assert [entry["diversity"]["num_words"] for entry in found["variants"].values()] == [3, 3]
    assert found["comparisons"]["short"]["verdict"] == "not enough data"
    assert "groups of documents" in found["comparisons"]["short"]["reason"]


def test_coverage_is_of_each_prior() -> None:
    readings = {"a": reading(spread(2, 8)), "b": reading(spread(20, 80))}
    found = compared([variant("one", ["a b"], readings), variant("two", ["a b"], {**readings, "b": reading([5, 6])})])
    assert found["comparisons"]["two"]["coverage"]["a"]["span"] == 1
    assert found["comparisons"]["two"]["coverage"]["b"] == {"span": 0, "beyond": 0}


def test_epsilon() -> None:
    both = [variant("one", STORIES), variant("two", PAPERS)]
    assert compared(both, epsilon=9.0)["comparisons"]["two"]["divergence"]["both"]["epsilon"]["kl"] == 9
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="epsilon .* is out of range: it must be above 0"):
            compared(both, epsilon=wrong)


def test_a_report_of_what_has_next_to_nothing() -> None:
    """Without bigrams, with a single document and with extreme perplexities, the report is complete, plots included."""
    readings = {"*a*": reading([1.0, 1e12])}
    variants = [variant("one", ["a"], readings), variant("two", ["b"], readings)]
    found = compared(variants)
    json.dumps(found, allow_nan=False)
    text = markdown_report(found)
    assert "There is too little text for these figures." in text
    assert "nan" not in text and r"## Perplexity by \*a\*" in text
    plots = draw_plots(variants, similarities(variants))
    assert list(plots) == ["ngrams.png", "perplexity-1.png", "probability-1.png", "similarity.png"]
    assert all(image.startswith(b"\x89PNG") for image in plots.values())
    assert all(f"(assets/{name})" in text for name in plots)
