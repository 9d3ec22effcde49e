"""docs/ecosystem.md shows every script of examples/, and each script states how to call it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def test_the_page_shows_every_example() -> None:
    page = (ROOT / "docs" / "ecosystem.md").read_text(encoding="utf-8")
    shown = re.findall(r'^--8<-- "(.+)"$', page, re.MULTILINE)
    assert sorted(shown) == [f"examples/{script.name}" for script in SCRIPTS] and SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_example_says_how_it_is_called(script: Path) -> None:
    said = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    assert f"python examples/{script.name} " in said and "pip install " in said
