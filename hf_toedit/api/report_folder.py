"""The folder of a report: checked before the work, and written after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from hf_toedit.analysis.report import HTML, JSON, MARKDOWN
from hf_toedit.checked import checked
from hf_toedit.errors import RunError


def report_folder(folder: str | PathLike[str], is_own: Callable[[Path], bool]) -> Path:
    """Return the folder of a report, after checking that it contains nothing else.

    Args:
        folder: The folder as requested.
        is_own: Whether a folder contains such a report, finished or not.

    Raises:
        RunError: It is not a folder on this machine, or contains something else.
        UsageError: Its name is not a path.
    """
    name: str = checked(folder, str, "folder")
    target = Path(name)
    if "://" in name:
        raise RunError(f"{name} is not on this machine. Name a folder here for the report with -o.")
    if target.exists() and not target.is_dir():
        raise RunError(f"{target} is a file. Name a folder for the report with -o.")
    if target.exists() and any(target.iterdir()) and not is_own(target):
        raise RunError(f"folder {target} is not empty and holds no report. Name a new folder with -o.")
    return target


def write_report(target: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a report, each completely or not at all.

    Args:
        target: The folder.
        files: Contents by path in the folder.

    Raises:
        RunError: A file cannot be written.
    """
    from hf_toedit.storage.files import whole_file

    for name, content in files.items():
        with whole_file(target / name) as temporary:
            temporary.write_bytes(content)


def as_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures as they are read back from `report.json`: keys are strings, sequences are lists."""
    report: dict[str, Any] = json.loads(json.dumps(figures))
    return report


def other_settings(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write the settings that a report depends on, or compare them with those that are already there.

    Args:
        path: The file.
        settings: As JSON values.

    Returns:
        The settings of the file if they are others.

    Raises:
        RunError: The file is damaged, or cannot be written.
    """
    if not path.exists():
        write_report(path.parent, {path.name: (json.dumps(settings, indent=2) + "\n").encode()})
        return None
    try:
        there: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise RunError(f"{path} is damaged. Name a new folder with -o.") from error
    return None if there == as_json(settings) else there


def write_whole_report(
    target: Path, report: Mapping[str, Any], markdown: str, pictures: Mapping[str, bytes], title: str
) -> None:
    """Write a report in all of its formats: Markdown, one HTML file, JSON, and pictures in `assets/`.

    Args:
        target: The folder.
        report: Content of `report.json`.
        markdown: The report in Markdown.
        pictures: PNG files, by their names in `assets/`.
        title: Title of the HTML page.

    Raises:
        RunError: A file cannot be written.
    """
    from hf_toedit.analysis.page import html_report

    files = {f"assets/{name}": image for name, image in pictures.items()}
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    page = html_report(markdown, files, title)
    write_report(target, {**files, MARKDOWN: markdown.encode(), HTML: page.encode(), JSON: text.encode()})
