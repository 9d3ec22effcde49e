"""The pages that users read, README and docs/, and their blocks of code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))}
"""Pages by their paths from the root of the checkout."""

_BLOCK = re.compile(
    r"^(?:[ ]*<!-- not run: (?P<reason>[^\n]+) -->\n\n?)?"
    r"(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of code.

    Attributes:
        language: As the page names it.
        code: Its lines, without the indentation of the block.
        reason: Why the tests do not run it; None where they do.
    """

    language: str
    code: str
    reason: str | None


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of a page in these languages, in order."""
    found = [
        Block(match["language"], re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE), match["reason"])
        for match in _BLOCK.finditer(PAGES[page].read_text(encoding="utf-8"))
    ]
    return [block for block in found if block.language in languages]


def prose(page: str) -> str:
    """Return a page without its code."""
    text = PAGES[page].read_text(encoding="utf-8")
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", text))
