"""Diversity of the words in a sample of texts; words are those of `ngrams`, and no n-gram spans two texts.

All of these figures depend on the amount of text: compare samples of the same size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hf_toedit.features.ngrams import words
from hf_toedit.mergeable import ratio

ORDERS = (1, 2, 3, 4)
"""Orders of the n-grams for distinct-n."""

SIZES = 10
"""Number of growing sizes at which the distinct words are counted."""

REPEATED = 4
"""Order of the n-grams whose repetition is counted, as in Salkar et al. 2022."""

TOP = 20
"""Number of most frequent bigrams."""


@dataclass(frozen=True)
class FrequentBigram:
    """A frequent bigram.

    Attributes:
        bigram: Its two words with a space between.
        count: Number of its occurrences.
        share: Share of all bigrams.
    """

    bigram: str
    count: int
    share: float


@dataclass(frozen=True)
class Diversity:
    """Diversity of the words in a sample of texts.

    Attributes:
        num_documents: Number of texts.
        num_words: Number of their words.
        distinct: For n of 1 to 4, distinct n-grams per n-gram (Li et al. 2016, "A Diversity-Promoting Objective
            Function for Neural Conversation Models"); 0 if there are none.
        growth: Type-token growth: number of words and of distinct words in the first 1/10, 2/10, … of the words, in the
            order of the texts.
        bigrams: The most frequent bigrams, by descending frequency, then alphabetically.
        self_repetition: Mean over texts of ln(1 + r), where r is the sum, over the distinct 4-grams of the text, of the
            number of other texts with that 4-gram (Salkar et al. 2022, "Self-Repetition in Abstractive Neural
            Summarizers"; a 4-gram counts once per text). A text without a 4-gram has r = 0.
        repeating_rate: Share of texts with a 4-gram that also occurs in another text.
    """

    num_documents: int
    num_words: int
    distinct: dict[int, float]
    growth: list[tuple[int, int]]
    bigrams: list[FrequentBigram]
    self_repetition: float
    repeating_rate: float


def diversity(texts: Sequence[str], num_words: int | None = None) -> Diversity:
    """Measure a sample that fits into memory.

    Args:
        texts: The sample.
        num_words: Number of words to use, from the start; None for all.
    """
    documents = [words(text) for text in texts]
    documents = documents if num_words is None else _first(documents, num_words)
    repetition = _repetition(documents)
    return Diversity(
        num_documents=len(documents),
        num_words=sum(map(len, documents)),
        distinct={n: _distinct(documents, n) for n in ORDERS},
        growth=_growth(documents),
        bigrams=_frequent(documents),
        self_repetition=ratio(math.fsum(math.log1p(others) for others in repetition), len(documents)),
        repeating_rate=ratio(sum(others > 0 for others in repetition), len(documents)),
    )


def _first(documents: Sequence[list[str]], num_words: int) -> list[list[str]]:
    """Return documents with `num_words` words in total; the last one is truncated."""
    found: list[list[str]] = []
    for document in documents:
        if num_words <= 0:
            break
        found.append(document[:num_words])
        num_words -= len(document)
    return found


def _ngrams(document: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(document[start:] for start in range(n)), strict=False)


def _distinct(documents: Sequence[Sequence[str]], n: int) -> float:
    distinct = {ngram for document in documents for ngram in _ngrams(document, n)}
    return ratio(len(distinct), sum(max(len(document) - n + 1, 0) for document in documents))


def _growth(documents: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Return the number of words and of distinct words at each size; the size is rounded down."""
    total = sum(map(len, documents))
    sizes = [total * tenth // SIZES for tenth in range(1, SIZES + 1)]
    seen: set[str] = set()
    found: list[tuple[int, int]] = []
    num_words = 0
    for document in documents:
        start = 0
        while len(found) < SIZES and sizes[len(found)] <= num_words + len(document) - start:
            end = start + sizes[len(found)] - num_words
            seen.update(document[start:end])
            num_words, start = sizes[len(found)], end
            found.append((num_words, len(seen)))
        seen.update(document[start:])
        num_words += len(document) - start
    return found or [(0, 0)] * SIZES


def _frequent(documents: Sequence[Sequence[str]]) -> list[FrequentBigram]:
    counts = Counter(ngram for document in documents for ngram in _ngrams(document, 2))
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return [FrequentBigram(" ".join(bigram), count, count / total) for bigram, count in most]


def _repetition(documents: Sequence[Sequence[str]]) -> list[int]:
    """Return, for each text, the number of other texts with each of its distinct 4-grams, summed."""
    distinct = [set(_ngrams(document, REPEATED)) for document in documents]
    texts = Counter(ngram for ngrams in distinct for ngram in ngrams)
    return [sum(texts[ngram] - 1 for ngram in ngrams) for ngrams in distinct]
