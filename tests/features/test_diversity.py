from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from hf_toedit.features.diversity import TOP, diversity
from hf_toedit.features.ngrams import words
from tests.features.test_ngrams import EXAMPLES, some_texts
from tests.shared import texts


def ngrams_of(text: str, n: int) -> list[tuple[str, ...]]:
    found = words(text)
    return [tuple(found[start : start + n]) for start in range(len(found) - n + 1)]


def check(batch: list[str]) -> None:
    """Check every figure against a direct computation of its definition."""
    result = diversity(batch)
    flat = [word for text in batch for word in words(text)]
    assert (result.num_documents, result.num_words) == (len(batch), len(flat))
    for n in (1, 2, 3, 4):
        all_of_them = [ngram for text in batch for ngram in ngrams_of(text, n)]
        assert result.distinct[n] == (len(set(all_of_them)) / len(all_of_them) if all_of_them else 0)
    sizes = [len(flat) * tenth // 10 for tenth in range(1, 11)]
    assert result.growth == [(size, len(set(flat[:size]))) for size in sizes]
    pairs = [" ".join(pair) for text in batch for pair in ngrams_of(text, 2)]
    counts = {pair: pairs.count(pair) for pair in set(pairs)} if len(pairs) < 2000 else {}
    for found in result.bigrams:
        assert (found.count, found.share) == (pairs.count(found.bigram), found.count / len(pairs))
    if counts:
        assert [found.count for found in result.bigrams] == sorted(counts.values(), reverse=True)[:TOP]
    sums = []
    for index, text in enumerate(batch):
        others = batch[:index] + batch[index + 1 :]
        sums.append(sum(sum(ngram in ngrams_of(other, 4) for other in others) for ngram in set(ngrams_of(text, 4))))
    assert result.self_repetition == pytest.approx(sum(math.log(1 + each) for each in sums) / max(len(sums), 1))
    assert result.repeating_rate == sum(each > 0 for each in sums) / max(len(sums), 1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(some_texts)
def test_figures_are_those_of_their_definitions(batch: list[str]) -> None:
    check(batch)
    check(batch * 2)


def test_figures_of_real_texts() -> None:
    check(texts("synthetic_tinystories_500")[:6])


def test_a_sample_by_hand() -> None:
    result = diversity(["a b c d e", "A B C D", "x y"])
    assert result.distinct == {1: 7 / 11, 2: 5 / 8, 3: 3 / 5, 4: 2 / 3}
    assert [(found.bigram, found.count) for found in result.bigrams[:2]] == [("a b", 2), ("b c", 2)]
    assert result.self_repetition == pytest.approx(2 * math.log(2) / 3)
    assert result.repeating_rate == pytest.approx(2 / 3)
    assert result.growth[-1] == (11, 7)


def test_stories_of_a_model_repeat_themselves() -> None:
    stories, pages = (diversity(texts(name)[:40]) for name in ("synthetic_tinystories_500", "web_dolma_cc_200"))
    assert stories.self_repetition > pages.self_repetition
    assert stories.distinct[2] < pages.distinct[2]


def test_nothing() -> None:
    assert diversity([]).growth == [(0, 0)] * 10
    assert diversity([""]).distinct == dict.fromkeys((1, 2, 3, 4), 0)


@pytest.mark.parametrize(("num_words", "expected"), [(0, []), (2, ["a b"]), (3, ["a b", "c"]), (9, ["a b", "c d e"])])
def test_the_first_words_alone(num_words: int, expected: list[str]) -> None:
    assert diversity(["a b", "c d e"], num_words) == diversity(expected)
