"""A run whose source was moved since planning: the same contents, under other names."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError, ToEditError
from hf_toedit.runs.before import is_of_before, revision_before
from hf_toedit.runs.plan import Plan
from hf_toedit.sources.model import SourceFile
from hf_toedit.sources.source import open_source


def located(plan: Plan) -> Plan:
    """Return the plan with the current location of its source; a plan from the Hub does not contain local paths.

    Raises:
        SourceError: The source is not here, or it has changed.
    """
    if plan.reading.root is not None or any("://" in plan.reading.place(file.path) for file in plan.files):
        return plan
    renamed = None
    with suppress(ToEditError):
        source = open_source(plan.source)
        files = [file for files in source.splits.values() for file in files]
        renamed = _renamed(plan, plan.source, source.revision, files)
    if renamed is None:
        raise SourceError(
            f"the source {plan.source.source!r} is on the machine that made this run, not on this one (or has "
            f"changed). Use --no-source to leave it out."
        )
    return replace(plan, reading=replace(plan.reading, root=source.reading.root, renamed=renamed))


def as_planned(plan: Plan, asked: Plan) -> Plan:
    """Return the requested plan, its source and model named as in the run's plan if their contents are the same.

    Args:
        plan: The run's plan, which may have been made from a copy of the source elsewhere.
        asked: The requested plan, made now.

    Returns:
        A plan that differs from the run's plan only by other settings; unchanged if the contents differ.
    """
    renamed = _renamed(plan, asked.source, asked.source_revision, asked.files)
    if renamed is not None and len(asked.files) == len(plan.files):
        asked = replace(
            asked,
            source=replace(asked.source, source=plan.source.source),
            source_revision=plan.source_revision,
            reading=replace(asked.reading, renamed=renamed),
            files=plan.files,
        )
    return replace(asked, task=asked.task.as_planned(plan.task))


def _renamed(plan: Plan, source: SourceConfig, revision: str, files: Iterable[SourceFile]) -> dict[str, str] | None:
    """Map the planned paths of moved files to their current paths; return None if the contents differ.

    Args:
        plan: The run's plan.
        source: Settings of the source as it is now.
        revision: Its fingerprint or commit.
        files: Its files, in order. There may be more than were planned.
    """
    if revision != plan.source_revision:
        if not (is_of_before(plan) and revision_before(source) == plan.source_revision):
            return None
    left = iter(files)
    renamed: dict[str, str] = {}
    for file in plan.files:
        same = next((other for other in left if _is_same(file, other)), None)
        if same is None:
            return None
        if same.path != file.path:
            renamed[file.path] = same.path
    return renamed


def _is_same(planned: SourceFile, file: SourceFile) -> bool:
    """Whether a file, of the same source or of one with the same content, is the planned file."""
    if planned.stamp is not None and type(planned.stamp) is type(file.stamp):
        return planned[1:] == file[1:]
    return planned[:2] == file[:2]
