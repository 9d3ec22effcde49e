"""The recorded evidence for the papers matches the current settings of the items, and the documentation shows it."""

from __future__ import annotations

import json

import pytest

from hf_toedit.papers.registry import find_item
from tools.evidence import PAGE, page, path_of, recorded


@pytest.mark.parametrize("title", recorded())
def test_records_are_of_the_settings_of_their_items(title: str) -> None:
    item = find_item(title)
    record = json.loads(path_of(item).read_bytes())
    settings = json.loads(json.dumps(item.settings("tiny")))
    assert (record["claim"], record["differs"], record["settings"]) == (item.claim, item.differs, settings)
    assert (record["name"], record["renamed"]) == (item.name, item.renamed)
    assert record["holds"] in ("yes", "no", "not decided") and record["tables"]


def test_the_documentation_is_that_of_the_records() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(recorded()), "make evidence"
