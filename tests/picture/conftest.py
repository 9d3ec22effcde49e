"""A gallery that several tests share: it contains awkward texts, and is edited eagerly."""

from __future__ import annotations

import pytest

from hf_toedit import EditConfig, ToEditor
from hf_toedit.picture.data import Gallery
from tests.shared import texts

HOSTILE = (
    "<script>alert(1)</script> ${alert(1)} {{x}} {{{y}}} `t` \\u0041 &amp; \"q\" 'q' </style> --> ]]>",
    "\x1b[31m \x07 \u202e\u2066 \x00 \u200b\ufeff na\u0308ive 👩‍👩‍👧 𝔘 你好\r\nsaid\tshe.\n",
    "a lone \ud800 surrogate <b>",
    None,
    "",
)


@pytest.fixture(scope="session")
def editor(stories_prior) -> ToEditor:
    return ToEditor(stories_prior, EditConfig(threshold=0.9, temperature=4.0))


@pytest.fixture(scope="session")
def gallery(editor: ToEditor) -> Gallery:
    told = [text[:240] for text in texts("synthetic_tinystories_500")[:2]]
    names = [f"row <{number}>" for number in range(len(told) + len(HOSTILE))]
    return Gallery.take(editor, [*told, *HOSTILE], names, generations=2)
