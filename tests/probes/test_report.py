"""The words of a probe's report."""

from __future__ import annotations

from hf_toedit.probes.report import interval_note, verdict_line
from hf_toedit.probes.verdict import ALL


def test_intervals_of_a_single_document_are_of_the_seeds_alone() -> None:
    several, single = {"num_documents": 20}, {"num_documents": 1}
    assert "one document" not in interval_note(3, {"web": several})
    assert interval_note(3, {"web": several, "book": single}).endswith(
        "With one document, as in <code>book</code>, they cover seeds only."
    )


def test_equal_models_have_no_detectable_difference_of_zero() -> None:
    def said(value: float, half: float) -> str:
        found = {"verdict": "no difference seen", "differences": {"0.001": {ALL: {"value": value, "half": half}}}}
        return verdict_line("edited", found)

    assert said(0.0, 0.0).endswith("where differences below 0.01% can be seen)")
    assert said(0.001, 0.02).endswith("where differences from about 2.02% can be seen)")
