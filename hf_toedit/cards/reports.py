"""The card section that links the comparison and probe reports beside the data."""

from __future__ import annotations

from collections.abc import Iterable

from hf_toedit.cards.escape import markdown, url
from hf_toedit.cards.readme import merged
from hf_toedit.storage.layout import REPORTS

_REPORT = "report.md"
_SECTION = "reports/"
"""Ends in a slash, unlike the names of other sections, which are folder names."""

_WORDS = {
    "compare": "How these data differ from others, by `hf-toedit compare`",
    "probe": "Whether training on these data helps, by `hf-toedit probe`",
}


def with_reports(card: str, paths: Iterable[str]) -> str:
    """Return a card with links to the reports in its repository; the same card if there are none."""
    reports = sorted({path for path in paths if path.endswith(f"/{_REPORT}")})
    parts = []
    for kind, folder in REPORTS.items():
        found = [path for path in reports if path.startswith(f"{folder}/")]
        if found:
            links = [f"- [{markdown(path.split('/')[-2])}]({url(path)})" for path in found]
            parts.append("\n".join([f"{_WORDS[kind]}:\n", *links]))
    return merged(card, {}, "\n\n".join(parts), _SECTION, "## Reports") if parts else card
