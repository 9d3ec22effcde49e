"""Kinds of places in which tokens occur."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hf_toedit import ToEditor
from hf_toedit.config import EditConfig
from hf_toedit.editing.kinds import kinds_of
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import EditStats
from tests.editing.test_properties import HashPrior, real_rows
from tests.editing.tokenizers import ALL_TOKENIZERS, tokenizer


def kind(text: str, token: str) -> str:
    start = text.index(token)
    return kinds_of(text, np.array([start]), np.array([start + len(token)]))[0]


@pytest.mark.parametrize(
    "text, token, expected",
    [
        ("Flight 77 left", " 77", "number"),
        ("it cost 1,000 euro", ",", "number"),
        ("the 5th day", "5", "number"),
        ("½ cup", "½", "number"),
        ("Kitties sleep", "ties", "inside_word"),
        ("Kitties sleep", "Kit", "inside_word"),
        ("don't go", "'t", "inside_word"),
        ("foo_bar", "foo", "inside_word"),
        ("a café is", "é", "inside_word"),
        ("in Paris now", " Paris", "capitalised_word"),
        ("a cat sat", " cat", "whole_word"),
        ("a (cat) sat", "(cat", "whole_word"),
        ("well-known", "known", "whole_word"),
        ("so, then", ",", "punctuation"),
        ("so 🙂 then", " 🙂", "punctuation"),
        ("so\n\nthen", "\n\n", "whitespace"),
        ("see `x y` there", "x", "code"),
        ("see https://a.org/b there", "org", "code"),
        ("a <b>cat</b>", "b>", "code"),
        ("fish &amp; chips", "amp", "code"),
        ("東京は", "京", "whole_word"),
        ("ภาษาไทย", "ไทย", "inside_word"),
    ],
)
def test_kinds(text, token, expected):
    assert kind(text, token) == expected


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_every_place_has_one(name):
    editor = ToEditor(HashPrior(tokenizer(name)), EditConfig(temperature=100.0, drop_below=0.01))
    rows = real_rows()[::40]
    result = editor.edit(rows)
    stats = result.stats
    assert set(stats.num_selected_by_kind) <= set(KINDS)
    for what in ("selected", "changed", "dropped"):
        assert sum(getattr(stats, f"num_{what}_by_kind").values()) == getattr(stats, f"num_{what}") > 0
    views = [token for index in range(len(result.documents)) for token in result.tokens(index)]
    assert Counter(token.kind for token in views if token.replacement) == stats.num_changed_by_kind
    assert all((token.kind is None) == (not token.selected and not token.dropped) for token in views)
    halves = [editor.edit(rows[::2]).stats, editor.edit(rows[1::2]).stats]
    assert EditStats.merged(halves).num_selected_by_kind == stats.num_selected_by_kind
