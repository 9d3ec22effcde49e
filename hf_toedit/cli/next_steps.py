"""What to do after a command: the next useful commands, printed at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hf_toedit.cards.escape import printable
from hf_toedit.program import command_line

if TYPE_CHECKING:
    from hf_toedit.api.run import Run


def next_steps(**steps: str) -> str:
    """One line per step: its name, and the command.

    Args:
        **steps: Commands, by a verb.
    """
    width = max(map(len, steps)) + 1
    return "\n".join(printable(f"{name.capitalize() + ':':<{width}} {command}") for name, command in steps.items())


def after_run(run: Run[Any], is_pushed: bool) -> str:
    """The steps after a run is finished.

    Args:
        run: The run.
        is_pushed: Whether this command pushes it.
    """
    path = str(run.path)
    steps = {} if "://" in path else {"load": load_line(path)}
    if run.plan.task.kind == "edit":
        steps["look"] = command_line("space", "run", path)
    steps["verify"] = command_line("verify", path)
    if not is_pushed:
        steps["push"] = command_line("push", path, "org/name")
    return next_steps(**steps)


def load_line(name: str, revision: str | None = None) -> str:
    """Python that loads a run folder, or a Hub dataset at a revision."""
    at = "" if revision is None else f", revision={json.dumps(revision)}"
    return f"datasets.load_dataset({json.dumps(name, ensure_ascii=False)}{at})"
