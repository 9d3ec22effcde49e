"""Similarity of the texts within a dataset."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hf_toedit.analysis.similarity import similarities
from hf_toedit.features.ngrams import words
from tests.shared import texts


def alike(text: str, other: str) -> float:
    """Compute the Jaccard similarity directly."""
    mine, theirs = ({*found, *zip(found, found[1:], strict=False)} for found in map(list, map(words, (text, other))))
    return len(mine & theirs) / len(mine | theirs)


def test_stories_are_more_alike_than_papers_and_figures_are_of_equally_many_texts() -> None:
    samples = {"stories": texts("synthetic_tinystories_500")[:90], "papers": texts("biomed_pubmedqa_l")[:60]}
    variants: Any = [SimpleNamespace(name=name, sample=sample) for name, sample in samples.items()]
    found = similarities(variants)
    for name, sample in samples.items():
        expected = np.mean([alike(*pair) for pair in combinations(sample[:60], 2)])
        assert found[name].mean == pytest.approx(expected, abs=0.004)
        assert found[name].num_texts == 60 and found[name].responses.sum() == pytest.approx(60)
    stories, papers = (found[name].to_json() for name in samples)
    assert stories["gini"] > papers["gini"] and stories["entropy_bits"] < papers["entropy_bits"]


def test_a_single_text_is_like_none() -> None:
    variants: Any = [SimpleNamespace(name="one", sample=["a b c"])]
    assert similarities(variants)["one"].mean == 0
