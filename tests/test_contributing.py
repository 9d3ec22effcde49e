"""The map in CONTRIBUTING.md matches the modules."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tools.rooms import the_map

CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"
MARKED = re.compile(r"(?s)(<!-- rooms: begin -->\n).*?(<!-- rooms: end -->)")


def test_the_map_is_that_of_the_modules() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    expected = MARKED.sub(lambda match: f"{match[1]}\n{the_map()}\n\n{match[2]}", text)
    if os.environ.get("HF_TOEDIT_WRITE_DOCS"):
        CONTRIBUTING.write_text(expected, encoding="utf-8")
    assert expected == CONTRIBUTING.read_text(encoding="utf-8"), "run `make write-docs`"
