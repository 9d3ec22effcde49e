"""The folder of a report: checked before the work, written after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hf_toedit.analysis.report import HTML, JSON, MARKDOWN
from hf_toedit.errors import RunError


def report_folder(folder: str, is_own: Callable[[Path], bool]) -> Path:
    """The folder of a report, which holds nothing else.

    Args:
        folder: As it was asked for.
        is_own: Whether a folder holds such a report, or one that was begun.

    Raises:
        RunError: It is not a folder of this machine, or holds something else.
    """
    target = Path(folder)
    if "://" in folder:
        raise RunError(f"{folder} is not on this machine. Name a folder here for the report with -o.")
    if target.exists() and not target.is_dir():
        raise RunError(f"{target} is a file. Name a folder for the report with -o.")
    if target.exists() and any(target.iterdir()) and not is_own(target):
        raise RunError(f"folder {target} is not empty and holds no report. Name a new folder with -o.")
    return target


def write_report(target: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a report, each whole or not at all.

    Args:
        target: The folder.
        files: By their paths in it.

    Raises:
        RunError: One cannot be written.
    """
    from hf_toedit.storage.files import whole_file

    for name, content in files.items():
        with whole_file(target / name) as temporary:
            temporary.write_bytes(content)


def as_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as `report.json` gives them back: its keys are strings, its sequences lists."""
    report: dict[str, Any] = json.loads(json.dumps(figures))
    return report


def write_whole_report(
    target: Path, report: Mapping[str, Any], markdown: str, pictures: Mapping[str, bytes], title: str
) -> None:
    """Write a report in all of its forms: Markdown, one HTML file, JSON, and pictures in `assets/`.

    Args:
        target: The folder.
        report: What `report.json` holds.
        markdown: The report as people read it.
        pictures: PNG files, by their names in `assets/`.
        title: Of the HTML page.

    Raises:
        RunError: A file cannot be written.
    """
    from hf_toedit.analysis.page import html_report

    files = {f"assets/{name}": image for name, image in pictures.items()}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    page = html_report(markdown, files, title)
    write_report(target, {**files, MARKDOWN: markdown.encode(), HTML: page.encode(), JSON: text.encode()})
