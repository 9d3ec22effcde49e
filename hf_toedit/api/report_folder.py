"""The folder of a report: checked before the work, written after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

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
