"""Pushing a run, for programs and commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from hf_toedit.errors import RunError
from hf_toedit.program import command_line
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder

if TYPE_CHECKING:
    from hf_toedit.publish.push import Push


class PushSettings(TypedDict, total=False):
    """Settings for pushing a run; see `Run.push`."""

    revision: str | None
    prefix: str
    public: bool
    create_pr: bool
    replace: bool
    unverified: bool


@contextmanager
def sending_of(plan: Plan, folder: RunFolder, repo: str, progress: bool, how: PushSettings) -> Iterator[Push]:
    """Yield the object that pushes a finished run.

    Args:
        plan: The run's plan.
        folder: The run folder.
        repo: `org/name`.
        progress: Show files and bytes.
        how: See `Run.push`.

    Raises:
        RunError: The run is not finished, or not verified.
    """
    from hf_toedit.progress import push_progress
    from hf_toedit.publish.push import Push

    if not isinstance(folder.root, Path):
        folder.sweep()  # removes files that an interrupted push left on this machine
    _check_finished(plan, folder, how.get("unverified", False))
    with push_progress(not progress) as bar:
        yield Push(
            plan,
            folder,
            repo,
            revision=how.get("revision"),
            prefix=how.get("prefix", ""),
            public=how.get("public", False),
            create_pr=how.get("create_pr", False),
            overwrite=how.get("replace", False),
            progress=bar,
        )


def _check_finished(plan: Plan, folder: RunFolder, unverified: bool) -> None:
    """Refuse to push a run that is not finished, or not verified.

    Raises:
        RunError: The run is not finished, or not verified.
        UsageError: The run has no rows.
    """
    from hf_toedit.runs.verify import is_verified

    plan.check_rows("pushed")
    if missing := len(folder.unfinished(plan, plan.shards)):
        raise RunError(
            f"{missing} of {len(plan.shards)} shards of {folder.root} are missing. Finish the run, then push "
            f"it: {command_line('run', folder.root)}"
        )
    if not (unverified or is_verified(plan, folder)):
        raise RunError(
            f"{folder.root} was not verified, or was changed since. Verify it, then push it: "
            f"{command_line('verify', folder.root)}. Or use --unverified."
        )
