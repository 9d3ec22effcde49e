"""The section of a card that links the reports of comparisons beside the data."""

from __future__ import annotations

from collections.abc import Iterable

from hf_toedit.cards.escape import markdown, url
from hf_toedit.cards.readme import merged
from hf_toedit.storage.layout import REPORTS

_REPORT = "report.md"


def with_reports(card: str, paths: Iterable[str]) -> str:
    """A card with links to the reports in its repository; the same card where there are none.

    Args:
        card: A README.
        paths: The files of the repository; those that are not reports are ignored.

    Raises:
        RunError: The README cannot be understood.
    """
    reports = sorted({path for path in paths if path.startswith(f"{REPORTS}/") and path.endswith(f"/{_REPORT}")})
    if not reports:
        return card
    links = [f"- [{markdown(path.split('/')[-2])}]({url(path)})" for path in reports]
    section = "\n".join(["How these data differ from others, by `hf-toedit compare`:\n", *links])
    return merged(card, {}, section, REPORTS, "## Comparisons")
