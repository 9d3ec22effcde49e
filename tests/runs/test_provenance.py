"""The recorded origin of a run, as cards state it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_toedit.config import PriorConfig, SourceConfig
from hf_toedit.priors.names import prior_name
from hf_toedit.runs.provenance import provenance


@pytest.mark.parametrize(
    ("written", "read"),
    [("no", "no"), ("[en, no]", ["en", "no"]), ("en", "en"), ("", None), ("1", None), ("yes", None)],
)
def test_norwegian_is_a_language(tmp_path: Path, written: str, read: object) -> None:
    (tmp_path / "README.md").write_text(f"---\nlicense: mit\nlanguage: {written}\n---\n")
    card = provenance(SourceConfig(str(tmp_path)), "0" * 40, prior_name(PriorConfig()))["source_card"]
    assert (card["license"], card.get("language")) == ("mit", read)
