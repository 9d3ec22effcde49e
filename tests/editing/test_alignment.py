"""Tokens and text: eligible tokens, causes of ineligibility, the text of entries, and the guards of `protect`."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hf_toedit.editing.alignment import CAUSES, ELIGIBLE, SPECIAL, Aligner, Surface
from hf_toedit.protect import protect_regex
from tests.editing.tokenizers import ALL_TOKENIZERS, aligner, tokenizer
from tests.shared import texts


def view(name: str, text: str, protect: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """Return (characters, vocabulary entry, cause of ineligibility) of each token."""
    backend = tokenizer(name)
    (document,) = aligner(name, protect).align([text])
    return [
        (text[start:end], backend.id_to_token(int(token)), CAUSES.get(int(cause), ""))
        for token, start, end, cause in zip(document.ids, document.starts, document.ends, document.causes, strict=True)
    ]


def eligible(name: str, text: str, protect: tuple[str, ...] = ()) -> list[str]:
    return [token for token, _, cause in view(name, text, protect) if not cause]


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_eligible_tokens_spell_their_own_characters(name):
    its = aligner(name)
    rows = [*texts("awkward_blns")[::5], *texts("awkward_emoji")[::3], *texts("multilingual_udhr2")[::12]]
    num_eligible = 0
    for document in its.align([row[:1000] for row in rows if row]):
        end = 0
        for index in np.flatnonzero(document.eligible):
            start, surface = int(document.starts[index]), its.surface(int(document.ids[index]))
            assert end <= start
            end = int(document.ends[index])
            assert document.text[start:end] == surface.text
            num_eligible += 1
    assert num_eligible > 1000


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("gpt2", "Hello wörld", ["Hello", " w", "ör", "ld"]),
        ("llama-2", "Hello wörld", [" w", "ör", "ld"]),  # the first token is read with a leading space
        ("unigram-test", "He was sad", [" was", " s", "ad"]),
        ("gpt-neox-20b", "Hello wörld", ["Hello", " w", "ör", "ld"]),
        ("stories260K", "He was sad", [" was", " sa", "d"]),
        ("wordpiece", "The girl was sad", ["girl", "was", "sad"]),  # "The" is read as "the"
        ("roberta", "The girl was sad", [" girl", " was", " sad"]),
        ("end-of-word", "The girl was", ["The", "girl", "was"]),
    ],
)
def test_eligible_in_plain_text(name, text, expected):
    assert eligible(name, text) == expected


@pytest.mark.parametrize(
    "name, text, token, cause",
    [
        ("gpt2", "a 😀", "😀", "partial_character"),
        ("llama-2", "a 😀", "😀", "partial_character"),
        ("stories260K", "wör", "ö", "partial_character"),
        ("gpt-neox-20b", "ﬁ", "ﬁ", "partial_character"),
        ("unigram-test", "ﬁne", "ﬁne", "normalized"),  # read as "fine"
        ("unigram-test", "a ½", "½", "normalized"),
        ("unigram-test", "wör", "ö", "special_token"),  # unknown token
        ("llama-2", "a\u2581b", "\u2581b", "normalized"),  # read as a space
        ("gpt-neox-20b", "x a\u0301", " a", "normalized"),  # composed by normalization; no token covers the accent
        ("wordpiece", "Sad", "Sad", "normalized"),
        ("wordpiece", "the café", "é", "normalized"),
        ("roberta", "sad", "sad", "normalized"),
        ("llama-2", "ﬁ", "ﬁ", "shared_characters"),  # the inserted space has the same offsets
        ("stories260K", "Hi <s> there", " ", "shared_characters"),
    ],
)
def test_why_not_eligible(name, text, token, cause):
    assert cause in {why for characters, _, why in view(name, text) if characters == token}


@pytest.mark.parametrize(
    "name, special",
    [
        ("gpt2", "<|endoftext|>"),
        ("llama-2", "</s>"),
        ("unigram-test", "<s>"),
        ("gpt-neox-20b", "<|padding|>"),
        ("stories260K", "</s>"),
        ("wordpiece", "[MASK]"),
        ("roberta", "</s>"),
        ("end-of-word", "<unk>"),
    ],
)
def test_special_tokens_in_text_stay(name, special):
    token = tokenizer(name).token_to_id(special)
    assert token is not None
    assert aligner(name).surface(token) == Surface(None, SPECIAL)
    tokens = view(name, f"the {special} girl {special}")
    assert [cause for _, entry, cause in tokens if entry.strip("\u2581") == special] == ["special_token"] * 2


def test_no_special_tokens_are_added():
    for name in ("wordpiece", "roberta", "llama-2"):
        assert not {"[CLS]", "[SEP]", "<s>", "</s>"} & {entry for _, entry, _ in view(name, "the girl")}


def test_truncation_padding_and_dropout_are_taken_off():
    text = "One two three four five six seven eight nine ten."
    before = tokenizer("truncating").to_str()
    assert view("truncating", text) == view("gpt2", text)
    assert len(Aligner(tokenizer("truncating")).align(["a", text])[0]) == 1
    assert tokenizer("truncating").to_str() == before


@pytest.mark.parametrize(
    "name, entry, text",
    [
        ("gpt2", "Ġthe", " the"),
        ("gpt2", "ĠÂ½", " ½"),
        ("gpt2", "Ċ", "\n"),
        ("gpt2", "ðŁĺ", None),
        ("gpt2", "Ģ", None),
        ("llama-2", "▁the", " the"),
        ("llama-2", "<0x0A>", "\n"),
        ("llama-2", "<0xC3>", None),
        ("llama-2", "▁", " "),
        ("unigram-test", "▁was", " was"),
        ("roberta", "Ġthe", " the"),
        ("wordpiece", "the", "the"),
        ("wordpiece", "##s", "s"),
        ("end-of-word", "the</w>", "the"),
    ],
)
def test_surfaces(name, entry, text):
    token = tokenizer(name).token_to_id(entry)
    assert token is not None
    assert aligner(name).surface(token).text == text


def test_added_tokens_and_ids_beyond_the_vocabulary_spell_nothing():
    assert aligner("gpt-neox-20b").surface(tokenizer("gpt-neox-20b").token_to_id("    ")) == Surface(
        None, SPECIAL
    )  # an added token, but not a special one
    assert aligner("gpt-neox-20b").surface(10**6) == Surface(None, SPECIAL)


def test_the_unknown_entry_of_unigram_spells_nothing():
    vocabulary = [("<unk>", 0.0), ("\u2581", -1.0), ("a", -1.0), ("<", -3.0), ("\u2581a", -1.5)]
    unigram = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    assert Aligner(unigram).surface(0) == Surface(None, SPECIAL)
    assert Aligner(unigram).surface(4) == Surface(" a", ELIGIBLE)


def admissible(name: str, original: str, candidates: list[str]) -> list[bool]:
    ids = [tokenizer(name).token_to_id(entry) for entry in (original, *candidates)]
    assert None not in ids
    return aligner(name).admissible(np.array(ids[:1]), np.array([ids[1:]]))[0].tolist()


def test_admissible_candidates():
    assert admissible("gpt2", "Ġthe", ["Ġa", "s", "ðŁĺ", "<|endoftext|>", "Ġthe"]) == [True, True, False, False, True]
    assert admissible("llama-2", "▁the", ["▁a", "s", "<0x0A>", "<0xC3>", "</s>"]) == [True, True, True, False, False]
    assert admissible("unigram-test", "▁the", ["▁was", "<unk>"]) == [True, False]


def test_candidates_must_join_as_the_original_does():
    assert admissible("wordpiece", "the", ["a", "##s", "[UNK]", "[SEP]"]) == [True, False, False, False]
    assert admissible("wordpiece", "##s", ["a", "##e", "[UNK]"]) == [False, True, False]
    assert admissible("end-of-word", "the</w>", ["was</w>", "a"]) == [True, False]
    assert admissible("end-of-word", "a", ["e", "the</w>"]) == [True, False]


def test_admissible_of_nothing():
    assert aligner("gpt2").admissible(np.empty(0, int), np.empty((0, 8), int)).shape == (0, 8)
    assert aligner("gpt2").admissible(np.empty(0, int), np.empty((0, 0), int)).shape == (0, 0)


PROTECTED = {
    "numbers": {
        "Pay 1,234.50 now": ["1,234.50"],
        "-5% or +3": ["-5%", "+3"],
        "at 12:30 on 2024/01/02": ["12:30", "2024/01/02"],
        "x2 and 3rd": ["2", "3"],
        "no number": [],
        "٣٤": ["٣٤"],
    },
    "urls": {
        "see https://a.org/b?c=d#e now": ["https://a.org/b?c=d#e"],
        '<a href="http://x.y/z">t</a>': ["http://x.y/z"],
        "www.example.com or ftp://h/f": ["www.example.com", "ftp://h/f"],
        "http is a word, https:// is not": [],
        "example.com": [],
    },
    "emails": {
        "mail first.last+tag@sub.example.org now": ["first.last+tag@sub.example.org"],
        "a@b.co,c@d.co": ["a@b.co", "c@d.co"],
        "@handle and a@localhost and 5 @ 3.50": [],
    },
    "code": {
        "use `x = 1` here": ["`x = 1`"],
        "a ``b ` c`` d": ["``b ` c``"],
        "```py\nx\n```\nafter": ["```py\nx\n```"],
        "a\n~~~\n`x\n~~~\nb `y`": ["~~~\n`x\n~~~", "`y`"],
        "````\n```\nx\n```\n````\nafter": ["````\n```\nx\n```\n````"],
        "before\n```\nnever closed\n\nend": ["```\nnever closed\n\nend"],
        "```inline``` and the rest\nis text": ["```inline```"],
        "one ` alone": [],
        "TeX ``quotes''\n\nand ``more''": [],  # code does not continue in the next paragraph
        "``": [],
    },
    "math": {
        "so $x^2 + y$ is": ["$x^2 + y$"],
        "$$a\n\n= b$$ and \\(c\\) and \\[d\\]": ["$$a\n\n= b$$", "\\(c\\)", "\\[d\\]"],
        "\\begin{align*}x\n&= y\\end{align*} z": ["\\begin{align*}x\n&= y\\end{align*}"],
        "$a \\$ b$": ["$a \\$ b$"],
        "$5 and $6": [],
        "costs $5, or $ 6, or \\$7 and \\$8": [],
        "between $5-$10": [],
        "a $\nb$": [],
        "\\begin{a} x \\end{b}": [],
    },
    "handles": {
        "thanks @user_1!": ["@user_1"],
        "(@a@mastodon.social)": ["@a@mastodon.social"],
        "mail a@b.org, @@x, 5 @ 3": [],
    },
    r"re:\bSKU-\w+": {"the SKU-12a is": ["SKU-12a"], "sku-12": []},
    "re:x*": {"aaa": []},
}


@pytest.mark.parametrize(
    "pattern, text, spans", [(pattern, *case) for pattern, cases in PROTECTED.items() for case in cases.items()]
)
def test_protected_spans(pattern, text, spans):
    assert [match.group() for match in protect_regex(pattern).finditer(text) if match.group()] == spans


@pytest.mark.parametrize("pattern", [pattern for pattern in PROTECTED if not pattern.startswith("re:")])
def test_protected_tokens(pattern):
    cases = PROTECTED[pattern]
    documents = aligner("gpt-neox-20b", (pattern,)).align(list(cases))
    unprotected = aligner("gpt-neox-20b").align(list(cases))
    for (text, spans), document, free in zip(cases.items(), documents, unprotected, strict=True):
        inside = np.zeros(len(text), dtype=bool)
        for span in spans:
            inside[max(text.index(span) - 1, 0) : text.index(span) + len(span) + 1] = True
        touched = np.array([inside[a:b].any() for a, b in zip(document.starts, document.ends, strict=True)])
        assert document.eligible.tolist() == (free.eligible & ~touched).tolist()


def test_patterns_add_up():
    text = "Mail a@b.org 5 times, see https://x.org now"
    assert eligible("gpt2", text, ("emails", "numbers", "urls")) == ["Mail", ",", " see"]


@pytest.mark.parametrize("pattern", [pattern for pattern in PROTECTED if not pattern.startswith("re:")])
@pytest.mark.parametrize(
    "unit", ["a", "ab.", "@a", "$a ", "`", "`` a'' ", "http", " ", "\n", "1", "\\begin{a} ", "[]("]
)
def test_protection_takes_no_quadratic_time(pattern, unit):
    began = time.process_time()
    protect_regex(pattern).findall(unit * (20_000 // len(unit)))
    assert time.process_time() - began < 1
