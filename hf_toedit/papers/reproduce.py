"""A table, figure or theorem of a paper measured again, as `hf-toedit reproduce` does."""

from __future__ import annotations

import json
import time
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from hf_toedit.api.report_folder import as_json, report_folder, write_report, write_whole_report
from hf_toedit.errors import RunError, UsageError
from hf_toedit.papers.item import Item, Scale, Work
from hf_toedit.papers.registry import find_item, items
from hf_toedit.version import __version__

WORK = "work"
"""The folder of a report in which runs and models are: the same command goes on from there."""

_ASKED = "asked.json"
"""What a folder was made for, so that nothing else is mixed into it."""


def reproducible() -> list[dict[str, Any]]:
    """What can be measured again: name, paper, claim, what it needs and how long it takes on two cores."""
    return [
        {
            "name": item.name,
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
    """Measure a table, figure or theorem of a paper again; what was interrupted goes on.

    Args:
        name: The paper's, such as `Table 9`; `toedit:Figure 2` where both papers have one; see `reproducible`.
        folder: Of the report: `report.md`, `report.html`, `report.json`, `assets/`, and `work/`, which may be deleted.
        scale: `tiny` takes minutes on two cores; `paper` has the paper's settings.
        seed: Of all that is drawn.
        progress: Show bars.

    Returns:
        What `report.json` holds.

    Raises:
        UsageError: There is nothing of that name, or a library is missing.
        RunError: The folder cannot be written, or holds something else.

    Examples:
        >>> reproduce("Theorem 1", "theorem-1")["holds"]  # doctest: +SKIP
    """
    from hf_toedit.papers.report import draw, report_json, report_markdown

    item = find_item(name)
    check_scale(scale)
    settings = item.settings(scale)
    target = report_folder(fspath(folder), lambda there: (there / WORK / _ASKED).exists())
    _settle(target / WORK, {"item": item.title, "settings": dict(settings), "seed": seed})
    begun = time.monotonic()
    outcome = item.run(settings, Work(seed, target / WORK, progress))
    facts = {"scale": scale, "seed": seed, "seconds": time.monotonic() - begun, "version": __version__}
    report = as_json(report_json(item, settings, outcome, facts))
    pictures = {f"{plot.name}.png": draw(plot) for plot in outcome.plots}
    write_whole_report(target, report, report_markdown(report, outcome), pictures, item.name)
    return report


def outlook(name: str, scale: Scale) -> dict[str, Any]:
    """What `reproduce` would do.

    Args:
        name: See `reproduce`, as is `scale`.
        scale: Of the settings.

    Raises:
        UsageError: There is nothing of that name.
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
    """Refuse another scale.

    Raises:
        UsageError: It is one.
    """
    if scale not in ("tiny", "paper"):
        raise UsageError(f"there is no scale {scale!r}. Use tiny or paper.")


def _settle(work: Path, asked: dict[str, Any]) -> None:
    """Note what a folder is for, or find that it is for the same."""
    path = work / _ASKED
    text = json.dumps(asked, indent=2) + "\n"
    if not path.exists():
        write_report(work, {_ASKED: text.encode()})
    elif path.read_text(encoding="utf-8") != text:
        raise RunError(f"{work.parent} holds another reproduction. Name a new folder with -o.")
