"""Code in a text is detected without markup, and prose is not detected as code."""

from __future__ import annotations

import pytest

from hf_toedit.editing.code import code
from tests.shared import texts

BLOCKS = [
    "def mean(values):\n    total = 0.0\n    return total / len(values)",
    "function add(a, b) {\n  // the sum\n  return a + b;\n}",
    "const wait = (ms) => new Promise(done => setTimeout(done, ms));",
    "import numpy as np\nfrom os import path",
    "#include <stdio.h>\nint main(void) {\n  return 0;\n}",
    "<ul>\n<li>one</li>\n</ul>",
    ">>> len([1, 2])\n2",
    "x = 5\ny += f(x)",
    "\\section{Introduction}\n\\label{sec:one}",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "`x = y`",
    "```\nany words\n```",
]


@pytest.mark.parametrize("block", BLOCKS)
def test_it_is_found_within_prose(block: str) -> None:
    text = f"It is done like this:\n\n{block}\n\nThen it is done; that is all (for now)."
    start = text.index(block)
    covered = {place for first, last in code(text) for place in range(first, last)}
    assert {place for place in range(start, start + len(block)) if text[place] != "\n"} <= covered
    assert covered <= set(range(start, start + len(block)))


@pytest.mark.parametrize(
    "text",
    [
        "Bring bread; milk; and eggs.\nIf you want to:\nreturn it to me, or pass it on.",
        "How art thou, brother;\nI come to thee;\nAnd stay.",
        "6) the right to vote;\n7) the right to stand (see above);",
        "Author(s):\nA. Smith {a friend}",
        "- an item\n- for example:\n* another | one",
        "We import wine, and export tea.\nThe class of 1990 = the best.",
        "",
        "\n \n",
    ],
)
def test_prose_is_none(text: str) -> None:
    assert code(text) == []


def test_of_real_texts() -> None:
    """Nearly all of the text of programs is detected, and almost none of natural language."""
    shares = {}
    for name in ("code_humaneval", "book_pride_and_prejudice", "book_tiny_shakespeare", "biomed_pubmedqa_l"):
        rows = texts(name)
        spans = [code(row) for row in rows]
        assert all(start < end <= after for found in spans for (start, end), (after, _) in zip(found, found[1:]))  # noqa: B905
        shares[name] = sum(end - start for found in spans for start, end in found) / sum(map(len, rows))
    assert shares.pop("code_humaneval") > 0.5
    assert max(shares.values()) < 0.0005
