"""Guarantees of `protect`: no protected match appears, disappears or changes, regardless of the sampled tokens."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit import ToEditor
from hf_toedit.config import PRESETS, EditConfig
from hf_toedit.editing.code import code
from hf_toedit.editing.guards import Guards
from hf_toedit.editing.names import names
from hf_toedit.editing.piece_table import Replacement
from hf_toedit.editing.words import WordBoundaries, segments, shape_of
from hf_toedit.protect import GUARDS, protect_regex
from tests.editing.test_properties import EXAMPLES, HashPrior, documents, quick
from tests.editing.tokenizers import ALL_TOKENIZERS, tokenizer
from tests.shared import texts

PROSE = (
    "web_dolma_cc_200",
    "biomed_pubmedqa_l",
    "book_pride_and_prejudice",
    "synthetic_tinystories_500",
    "multilingual_mgsm",
    "multilingual_udhr2",
    "math_gsm8k_test",
    "code_humaneval",
    "awkward_blns",
)


OF_A_KIND = [
    " see https://a.org/b?c=1 ", " or www.a.org. ", " mail a.b@c.org ", " @some_one said ", " $x^2$ is ", "\\(a+b\\)",
    "\n```\ncode\n```\n", " `x` ", " on 3 May 2006 ", " at 10:30 ", " Dr. Smith of New York ", ' he said, "no" ',
    "“so”",
]  # fmt: skip


@cache
def real_texts() -> list[str]:
    return [row for name in PROSE for row in texts(name)[::4] if row and len(row) > 100]


@st.composite
def excerpts(draw: st.DrawFn) -> str:
    row = draw(st.sampled_from(real_texts()))
    start, cut = draw(st.integers(0, max(len(row) - 400, 0))), draw(st.integers(0, 400))
    excerpt = row[start : start + 400]
    return excerpt[:cut] + draw(st.sampled_from(OF_A_KIND)) + excerpt[cut:]


PATTERNS = [guard for guard in GUARDS if guard != "words"] + ["re:[aeiou]{2,}"]


@cache
def editors(name: str) -> list[ToEditor]:
    """Return editors that select a third of all tokens and draw arbitrary replacements, each with other protections."""
    rng = random.Random(name)
    number = ALL_TOKENIZERS.index(name)
    kept = [("words",), PRESETS["careful"]["protect"]]
    kept += [(PATTERNS[(2 * number + more) % len(PATTERNS)],) for more in range(max(2, EXAMPLES // 100))]
    return [
        ToEditor(
            HashPrior(tokenizer(name)),
            EditConfig(
                protect=protect,
                temperature=100.0,
                top_k=64,
                drop_below=0.01 if index == 3 else None,
                seed=rng.randrange(2**63),
            ),
        )
        for index, protect in enumerate(kept)
    ]


def found(guard: str, text: str) -> list[str]:
    """Return the matches of a guard, in text order."""
    if guard == "words":
        return [text[start:end] for start, end in segments(text)]
    if guard in ("names", "code"):
        return [text[start:end] for start, end in (names if guard == "names" else code)(text)]
    return [match.group() for match in protect_regex(guard).finditer(text) if match.group()]


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_nothing_of_its_kind_changes(name):
    num_changed: Counter[int] = Counter()

    @settings(quick, max_examples=EXAMPLES)
    @given(st.integers(0, len(editors(name)) - 1), st.one_of(excerpts(), excerpts(), documents.filter(bool)))
    def run(number: int, text: str) -> None:
        editor = editors(name)[number]
        first = editor.edit([text])
        second = editor.edit(first)
        for before, after in [(text, first.texts[0]), (first.texts[0], second.texts[0])]:
            for guard in editor.config.protect:
                if guard == "words":
                    assert_no_word_is_made_or_broken(before, after)
                else:
                    assert found(guard, before) == found(guard, after)
        num_changed[number] += first.stats.num_changed

    run()
    assert num_changed[0] and num_changed.total() > num_changed[0]


def assert_no_word_is_made_or_broken(text: str, edited: str) -> None:
    before, after = (words_of(found("words", version)) for version in (text, edited))
    for word, new in zip(before, after, strict=True):
        assert word == new or (any(map(str.isalpha, word)) and any(map(str.isalpha, new)))
        assert word == new or not any(map(str.isdigit, word + new))
    for stays in (r"\s+", r"\p{S}", r"(?<=[\p{L}\p{N}])[^\p{L}\p{N}\s]+(?=[\p{L}\p{N}])"):
        assert regex.findall(stays, text) == regex.findall(stays, edited)


def words_of(parts: list[str]) -> list[str]:
    """Return the words without punctuation; a run of Chinese or Japanese characters is one word."""
    joined = "\n".join(part for part in parts if any(map(str.isalnum, part)))
    han_or_kana = r"[\p{Han}\p{Hiragana}\p{Katakana}ー]"  # the mark of long vowels belongs to no script
    return regex.sub(rf"(?<={han_or_kana})\n(?={han_or_kana})", "", joined).split("\n")


@pytest.mark.parametrize(
    "text, new, protect, is_put_back",
    [
        ("five or 6 men", {0: "5"}, "numbers", True),
        ("five or 6 men", {0: "ten"}, "numbers", False),
        ("He left. Then John came.", {2: ","}, "names", False),  # "Then" belongs to the name that follows
        ("He left. Then she came.", {2: ","}, "names", True),  # "Then" would be a name in mid-sentence
        ("he said so", {1: "Bob"}, "names", True),
        ("the year is long", {2: "was"}, "dates", False),
        ("in May it rains 3 times", {2: "12"}, "dates", True),
        ('He "said" so', {2: "-"}, "quotes", True),
        ("see http x", {1: "http://a.b"}, "urls", True),
        ("a cat sat", {1: "dog"}, "words", False),
        ("a cat sat", {1: "hot dog"}, "words", False),  # two words; a candidate replaces one word by one word
        ("cat,dog", {1: "'"}, "words", True),
        ("x `a b` y", {0: "``"}, "code", False),
    ],
)
def test_what_is_put_back(text, new, protect, is_put_back):
    """`new` maps the number of a word or mark in the text to its replacement."""
    spans = segments(text)
    replacements = [Replacement(*spans[index], word) for index, word in new.items()]
    assert Guards((protect,)).to_put_back(text, replacements) == ({0} if is_put_back else set())


def test_only_what_touches_is_put_back():
    text = "five or six men, and one dog"
    spans = segments(text)
    replacements = [Replacement(*spans[index], word) for index, word in [(0, "5"), (3, "cats"), (6, "1")]]
    assert Guards(("numbers",)).to_put_back(text, replacements) == {0, 2}


def test_what_adjoins_is_put_back_alone():
    replacements = [Replacement(0, 3, "saw"), Replacement(5, 6, "th")]
    assert Guards((r"re:\d+(?=th)",)).to_put_back("see 5, cats", replacements) == {1}
    assert Guards((r"re:(?<=th)\d+",)).to_put_back("see ,5 cats", [replacements[0], Replacement(4, 5, "th")]) == {1}


@pytest.mark.parametrize(
    "protect, text, expected",
    [
        ("numbers", "ab 12 cd", "  xxxx  "),  # with a character on either side, which could make the number longer
        ("code", "ab `x` cd", "  xxxxx  "),
        ("names", "see Bob run", "    xxx    "),
        ("numbers", "12", "xx"),
    ],
)
def test_characters_that_are_protected(protect, text, expected):
    starts = np.arange(len(text))
    protected = Guards((protect,)).protected(text, starts, starts + 1)
    assert "".join("x" if kept else " " for kept in protected) == expected


def test_all_are_put_back_where_none_touches():
    """An example is a match that depends on distant text."""
    text = "see x, or any other word"
    replacements = [Replacement(0, 3, "saw"), Replacement(20, 24, "thing")]
    assert Guards(("re:x(?!.*word)",)).to_put_back(text, replacements) == {0, 1}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("can't stop (well-known) U.S. 3.14", ["can't", "stop", "(", "well", "-", "known", ")", "U.S", ".", "3.14"]),
        ("foo_bar a@b.org", ["foo_bar", "a", "@", "b.org"]),
        ("l'homme d’été", ["l'homme", "d’été"]),
        ("「東京タワー」は", ["「", "東", "京", "タワー", "」", "は"]),
        ("ภาษาไทย เป็น ๑๒", ["ภาษาไทย", "เป็น", "๑๒"]),
        ("ខ្មែរ ລາວ မြန်မာ", ["ខ្មែរ", "ລາວ", "မြန်မာ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("한국어 가나다", ["한국어", "가나다"]),
        ("👨\u200d👩\u200d👧🇩🇪", ["👨\u200d👩\u200d👧", "🇩🇪"]),
    ],
)
def test_words(text, expected):
    assert [text[start:end] for start, end in segments(text)] == expected


@pytest.mark.parametrize(
    "surface, expected",
    [
        (" cat", (" ", "word", "")),
        ("don't", ("", "word", "")),
        (" 東京", (" ", "unspaced word", "")),
        ("), ", ("", "punctuation", " ")),
        ("🙂", None),
        (" |", None),
        (" 5", None),
        ("B2", None),
        ("½", None),
        ("(the", None),
        ("of the", None),
        ("\n", None),
    ],
)
def test_shapes(surface, expected):
    assert shape_of(surface) == expected


@pytest.mark.parametrize(
    "text, token, expected",
    [
        ("so, then", ",", True),
        ("(so)", "(", True),
        ('"So," he said', ',"', True),
        ('"So," he said', ",", False),
        ("wait - now", "-", False),
        ("**So:** it is", ":**", False),
        ("wait — now", "—", True),
        ("a well-known one", "-", False),
        ("a!==b", "==", False),
        ("a !== b", "!", False),
        ("and/or", "/", False),
    ],
)
def test_punctuation_that_is_whole_in_its_place(text: str, token: str, expected: bool) -> None:
    start = text.index(token)
    places = np.array([start]), np.array([start + len(token)])
    assert Guards(("words",)).protected(text, *places).tolist() == [not expected]


def test_boundaries_around_a_place_are_those_of_the_whole_text():
    for text in real_texts()[::7]:
        boundaries = WordBoundaries(text)
        borders = {position for span in segments(text) for position in span}
        for start in range(0, len(text) - 1, 3):
            end = min(start + 1 + start % 5, len(text))
            if not (text[start].isspace() or text[end - 1].isspace()):
                assert boundaries.are_around(start, end) == ({start, end} <= borders)


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "Alice met Dr. Smith of the University of California. Paris is far from Paris.",
            ["Dr. Smith of the University of California", "Paris", "Paris"],
        ),
        ('He said, "The dog is Rex." I\'m sure I saw NASA.', ["Rex", "NASA"]),
        ("New York is big. It is old.", ["New York"]),
        ("J. R. R. Tolkien and the U.S. Senate", ["J. R. R. Tolkien", "U.S. Senate"]),
        ("Mr. and Mrs. Bennet\nElizabeth", ["Mrs. Bennet", "Elizabeth"]),
        ("- The list\n- An item\n\nThe end… Then? Yes!", []),
        ("My iPhone and O'Brien", ["My iPhone", "O'Brien"]),
        ("Das ist der Hund von Anna.", ["Hund von Anna"]),
        ("東京は大きい", []),
    ],
)
def test_names(text, expected):
    assert [text[start:end] for start, end in names(text)] == expected


DATES = [
    "2006", "in the 1990s", "2006-01-02", "1/2/2006", "2 January 2006", "January 2, 2006", "Jan. 2006", "Monday",
    "10:30 am", "3 p.m.", "19th century", "44 BC", "am 3. März 1871", "le 14 juillet 1789", "2024年5月", "'77",
    "1914-18", "2nd of May",
]  # fmt: skip


@pytest.mark.parametrize("text", DATES)
def test_dates(text):
    assert len(found("dates", f"x {text} y")) >= 1


def test_what_is_no_date():
    assert found("dates", "He may march on; 5 cats of 12, version 3.1, $4000 and 12345") == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("He said “no, never” and left", ["“no, never”"]),
        ('a "b c" d', ['"b c"']),
        ("« oui » „ja“ 「はい」", ["« oui »", "„ja“", "「はい」"]),
        ("> quoted\nnot", ["> quoted"]),
        ('5" and\n\n6" tall', []),
    ],
)
def test_quotes(text, expected):
    assert found("quotes", text) == expected
