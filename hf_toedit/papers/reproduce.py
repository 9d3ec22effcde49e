"""Reproduction of a table, figure or theorem of a paper, for `hf-toedit reproduce`."""

from __future__ import annotations

import time
from os import PathLike
from typing import Any

from hf_toedit.api.report_folder import as_json, other_settings, report_folder, write_whole_report
from hf_toedit.errors import RunError, UsageError
from hf_toedit.papers.item import Item, Scale, Work
from hf_toedit.papers.registry import find_item, items
from hf_toedit.version import __version__

WORK = "work"
"""Subfolder of a report for runs and models; the same command continues with them."""

_ASKED = "asked.json"
"""Records the settings of a folder, so that nothing else is mixed into it."""


def reproducible() -> list[dict[str, Any]]:
    """Return the reproducible items: names, paper, claim, requirements and duration on two cores."""
    return [
        {
            "name": item.name,
            "renamed": item.renamed,
            "paper": item.paper.key,
            "title": item.paper.title,
            "arxiv": item.paper.arxiv,
            "claim": item.claim,
            "needs": item.needs,
            "minutes": item.minutes,
        }
        for item in items()
    ]


def reproduce(
    name: str,
    folder: str | PathLike[str],
    *,
    scale: Scale = "tiny",
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Reproduce a table, figure or theorem of a paper; an interrupted reproduction continues.

    Args:
        name: Its name in the paper, such as `Table 9`; `toedit:Figure 2` if both papers have one; see `reproducible`.
        folder: Folder for the report: `report.md`, `report.html`, `report.json`, `assets/`, and `work/`, which may be
            deleted.
        scale: `tiny` takes minutes on two cores; `paper` has the paper's settings.
        seed: Random seed.
        progress: Show progress bars.

    Returns:
        The content of `report.json`.

    Raises:
        UsageError: There is no item of that name, or a library is missing.
        RunError: The folder cannot be written, or contains something else.

    Examples:
        >>> reproduce("Theorem 1", "theorem-1")["holds"]  # doctest: +SKIP
    """
    from hf_toedit.papers.report import draw, report_json, report_markdown

    item = find_item(name)
    check_scale(scale)
    settings = item.settings(scale)
    target = report_folder(folder, lambda there: (there / WORK / _ASKED).exists())
    if other_settings(target / WORK / _ASKED, {"item": item.title, "settings": dict(settings), "seed": seed}):
        raise RunError(f"{target} holds another reproduction. Name a new folder with -o.")
    begun = time.monotonic()
    outcome = item.run(settings, Work(seed, target / WORK, progress))
    facts = {"scale": scale, "seed": seed, "seconds": time.monotonic() - begun, "version": __version__}
    report = as_json(report_json(item, settings, outcome, facts))
    pictures = {f"{plot.name}.png": draw(plot) for plot in outcome.plots}
    write_whole_report(target, report, report_markdown(report, outcome), pictures, item.name)
    return report


def outlook(name: str, scale: Scale) -> dict[str, Any]:
    """Return what `reproduce` would do.

    Args:
        name: See `reproduce`, also for `scale`.
        scale: Scale of the settings.

    Raises:
        UsageError: There is no item of that name.
    """
    item: Item = find_item(name)
    check_scale(scale)
    return {
        "name": item.name,
        "paper": item.paper.key,
        "claim": item.claim,
        "needs": item.needs,
        "settings": dict(item.settings(scale)),
        "minutes": item.minutes if scale == "tiny" else None,
        "differs": item.differs,
    }


def check_scale(scale: str) -> None:
    """Check that a scale exists.

    Raises:
        UsageError: It does not exist.
    """
    if scale not in ("tiny", "paper"):
        raise UsageError(f"there is no scale {scale!r}. Use tiny or paper.")
