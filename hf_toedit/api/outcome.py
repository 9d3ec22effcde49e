"""Outcome of the work on a run: its card, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_toedit.errors import RunError, ToEditError
from hf_toedit.program import command_line
from hf_toedit.runs.monitor import Failure, check_read
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.status import Status
from hf_toedit.runs.store import RunFolder


@dataclass(frozen=True)
class Outcome:
    """Outcome of the work on a run.

    Attributes:
        status: Progress of the run.
        error: Error of failed shards, of the card, or of a run in which no text could be read; None if all is well.
        is_unread: Whether the run is finished and no text could be read.
    """

    status: Status
    error: RunError | None = None
    is_unread: bool = False


def closed(plan: Plan, folder: RunFolder, status: Status, failures: Sequence[Failure]) -> Outcome:
    """Write the card of a run if it is finished, and report what went wrong.

    Args:
        plan: The run's plan.
        folder: The run folder.
        status: Status of the run.
        failures: Shards that failed at every try.
    """
    card_error = _card_error(plan, folder) if status.is_finished and plan.data_passes else None
    unread = _unread(status)
    error: RunError | None = card_error or unread
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        error = RunError(
            f"{len(failures)} of {len(plan.shards)} shards failed. {failures[0].shard}: {failures[0].reason}{more} The "
            f"others are kept. Fix the cause, then run: {command_line('run', folder.root)}"
        )
    return Outcome(status, error, unread is not None)


def _unread(status: Status) -> RunError | None:
    """Return the error of a finished run in which no text could be read."""
    try:
        if status.is_finished:
            check_read(status.statistics[0], status.task.done)
    except RunError as error:
        return error
    return None


def _card_error(plan: Plan, folder: RunFolder) -> RunError | None:
    """Write the card and return its error, so that a failure does not hide the report on the data."""
    from hf_toedit.cards.card import write_card

    try:
        write_card(plan, folder)
    except Exception as error:
        said = str(error) if isinstance(error, ToEditError) else f"{type(error).__name__}: {error}."
        failed = RunError(
            f"the rows are all there, but their card could not be written: {said} "
            f"Then: {command_line('card', folder.root)}"
        )
        failed.__cause__ = error
        return failed
    return None
