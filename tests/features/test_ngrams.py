from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.errors import UsageError
from hf_toedit.features import ngrams
from hf_toedit.features.ngrams import HashedNgrams, words
from tests.shared import texts

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "40"))
BUCKETS = 97
_64 = 2**64 - 1

some_texts = st.lists(st.text(st.sampled_from("aAbÉß .,!?\n\u3000漢字́9_"), max_size=30), max_size=8)


def naive_word(word: str) -> int:
    """Compute the hash of a word with Python integers."""
    return xxhash.xxh3_64_intdigest(word.encode()) >> 1


def naive_bigram(first: str, second: str) -> int:
    value = ((naive_word(first) * 0x9E3779B97F4A7C15 & _64) ^ naive_word(second)) + 0x9E3779B97F4A7C15 & _64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _64
    return value ^ value >> 31


def naive_counts(text: str, buckets: int) -> tuple[list[int], list[int]]:
    """Count unigrams and bigrams, one n-gram at a time."""
    unigrams, bigrams = [0] * buckets, [0] * buckets
    found = words(text)
    for word in found:
        unigrams[naive_word(word) % buckets] += 1
    for first, second in zip(found, found[1:], strict=False):
        bigrams[naive_bigram(first, second) % buckets] += 1
    return unigrams, bigrams


@settings(max_examples=EXAMPLES, deadline=None)
@given(some_texts)
def test_counts_are_those_of_one_ngram_at_a_time(batch: list[str]) -> None:
    counted = HashedNgrams(BUCKETS).count(batch)
    unigrams, bigrams = counted.unigrams.dense(), counted.bigrams.dense()
    assert unigrams.shape == bigrams.shape == (len(batch), BUCKETS)
    for text, *rows in zip(batch, unigrams.tolist(), bigrams.tolist(), strict=True):
        assert tuple(rows) == naive_counts(text, BUCKETS)
    assert counted.total().tolist() == (unigrams.sum(axis=0) + bigrams.sum(axis=0)).tolist()
    values = np.random.default_rng(0).normal(size=BUCKETS)
    assert counted.sums(values) == pytest.approx((unigrams + bigrams) @ values)
    alone = [HashedNgrams(BUCKETS).count([text]).sums(values)[0] for text in batch]
    assert counted.sums(values).tolist() == alone  # exactly equal
    groups = np.arange(len(batch)) % 3
    expected = [unigrams[groups == group].sum(axis=0).tolist() for group in range(3)]
    assert counted.unigrams.by_group(groups, 3).tolist() == expected


def test_buckets_are_the_same_everywhere() -> None:
    counted = HashedNgrams().count(["The cat, the dog!"])
    assert counted.unigrams.buckets.tolist() == [3406, 4119, 3407, 3406, 6555, 5181]
    assert counted.bigrams.buckets.tolist() == [1904, 4068, 9069, 7875, 5530]


def test_words_are_those_of_dsir() -> None:
    assert words("Don't PANIC... 3.5 ©\n") == ["don", "'", "t", "panic", "...", "3", ".", "5", "©"]
    tokenize = pytest.importorskip("nltk.tokenize").WordPunctTokenizer().tokenize
    # Recent versions of NLTK use `regex`, which counts superscripts as punctuation, and variation selectors as letters.
    other = re.compile(f"[{ngrams._HAN_AND_KANA}\u0e00-\u0eff\ufe0f²³]")
    found = [text for name in ("web_dolma_cc_en_head", "multilingual_mgsm") for text in texts(name)]
    alike = [text for text in found if not other.search(text)]
    assert 500 < len(alike) < len(found)
    for text in alike:
        assert words(text) == tokenize(text.lower())


def test_words_of_other_scripts() -> None:
    assert words("今天3点，我们去ABC。") == [*"今天", "3", *"点，我们去", "abc", "。"]
    assert words("カタカナー・人々が ｶﾅ") == [*"カタカナー・人々がｶﾅ"]
    assert words("हिन्दी भाषा, x\u0301!") == ["हिन्दी", "भाषा", ",", "x\u0301", "!"]
    assert words("চিজ্\u200cটি ভাল") == ["চিজ্\u200cটি", "ভাল"]
    assert words("오늘은 좋은 날") == ["오늘은", "좋은", "날"]
    for text in texts("multilingual_udhr2"):
        assert "".join(words(text)) == "".join(text.lower().split())


def test_long_texts_and_many_words(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(texts("web_dolma_cc_en_head")) + " " + "x" * 300 + " ΟΔΟΣ ΟΔΟΣ, x"
    whole = HashedNgrams().count([text, "a b", text])
    monkeypatch.setattr(ngrams, "_PIECE", 7)
    monkeypatch.setattr(ngrams, "_MOST_KNOWN", 50)
    counter = HashedNgrams()
    pieces = counter.count([text, "a b", text])
    assert pieces.unigrams.buckets.tolist() == whole.unigrams.buckets.tolist()
    assert pieces.bigrams.buckets.tolist() == whole.bigrams.buckets.tolist()
    assert len(counter._known) <= 50 and "x" * 300 not in counter._known


def test_ngrams_fill_buckets_evenly() -> None:
    """Distinct n-grams are distributed over buckets like balls over urns."""
    found = sorted({word for text in texts("web_dolma_cc_200") for word in words(text)})
    pairs = [f"{first} {second}" for first, second in zip(found, reversed(found), strict=True)]
    for counted in (HashedNgrams(1000).count(found).unigrams, HashedNgrams(1000).count(pairs).bigrams):
        counts = counted.total()
        expected = counts.sum() / 1000
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert counts.sum() > 10_000 and 850 < chi_square < 1150  # 999 ± 45 expected


def test_a_bigram_has_an_order() -> None:
    first, second = (HashedNgrams().count([text]).bigrams.buckets[0] for text in ("a b", "b a"))
    assert first != second


def test_no_buckets_are_refused() -> None:
    with pytest.raises(UsageError, match="num_buckets 0 is out of range"):
        HashedNgrams(0)


def test_several_times_as_fast_as_the_authors_package() -> None:
    reference = pytest.importorskip("data_selection.hashed_ngram_dsir").get_ngram_counts
    some = texts("biomed_pubmedqa_l")[:40]
    counter = HashedNgrams()
    seconds = {"ours": [], "theirs": []}
    for _ in range(3):  # interleaved, because the machine may be busy
        for name, count in (("ours", counter.count), ("theirs", lambda batch: [reference(text) for text in batch])):
            start = time.process_time()
            count(some)
            seconds[name].append(time.process_time() - start)
    assert min(seconds["theirs"]) > 4 * min(seconds["ours"])
