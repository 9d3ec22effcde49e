"""The words of a probe's report."""

from __future__ import annotations

from hf_toedit.probes.report import interval_note


def test_intervals_of_a_single_document_are_of_the_seeds_alone() -> None:
    several, single = {"num_documents": 20}, {"num_documents": 1}
    assert "one document" not in interval_note(3, {"web": several})
    assert interval_note(3, {"web": several, "book": single}).endswith(
        "With one document, as in <code>book</code>, they cover seeds only."
    )
