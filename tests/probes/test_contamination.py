"""Overlaps of 13 words, compared with sets of tuples."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.features.ngrams import words
from hf_toedit.probes.contamination import ORDER, EvalGrams, gram_hashes, overlaps

TEXTS = st.lists(st.sampled_from(["a", "b"]), max_size=30).map(" ".join)
DOCUMENTS = st.lists(st.lists(TEXTS, min_size=1, max_size=2), max_size=4)


def naive(parts: list[str]) -> set[tuple[str, ...]]:
    found = set()
    for text in parts:
        spoken = words(text)
        found |= {tuple(spoken[at : at + ORDER]) for at in range(len(spoken) - ORDER + 1)}
    return found


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_overlap(first: list[list[str]], second: list[list[str]], training: list[list[str]]) -> None:
    sets = {"first": first, "second": second}
    evals = EvalGrams.of(sets)
    seen = np.zeros(len(evals.grams), bool)
    hits = np.zeros((len(training), 2), bool)
    for number, parts in enumerate(training):
        grams = evals.seen_in(parts)
        seen[grams] = True
        hits[number] = evals.members[grams].any(axis=0)
    there = set().union(*map(naive, training))
    for name, found in overlaps(evals, seen, hits).items():
        grams = [naive(parts) for parts in sets[name]]
        own = set().union(*grams)
        assert found.num_documents == len(grams)
        assert found.num_checked == sum(map(bool, grams))
        assert found.num_contaminated == sum(bool(entry & there) for entry in grams)
        assert found.num_training_documents == sum(bool(naive(parts) & own) for parts in training)
        assert found.gram_share == (len(own & there) / len(own) if own else 0)


def test_hashes_follow_the_words() -> None:
    text = " ".join(f"word{number}" for number in range(20))
    assert len(gram_hashes(text)) == 8 and len(gram_hashes("too short")) == 0
    assert np.array_equal(gram_hashes(text.upper().replace(" ", "\n")), gram_hashes(text))
    assert np.array_equal(gram_hashes(f"before {text}")[1:], gram_hashes(text))
