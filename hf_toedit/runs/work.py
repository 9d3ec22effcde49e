"""What is to be done of a run, and whether it may be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hf_toedit.errors import UsageError
from hf_toedit.runs.monitor import forget_dead
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder


def check_trust(plan: Plan, trust_remote_code: bool) -> None:
    """Refuse to run the code that a plan names unasked: of its model, or a class of the user's own.

    Raises:
        UsageError: it names some, and nobody here said that it may run.
    """
    task = plan.task
    if task.own_code and not trust_remote_code:
        names = ", ".join(f"{setting} {name!r}" for setting, name in task.own_code.items())
        raise UsageError(
            f"the plan names Python code ({names}). A plan may come from anyone: if you trust that code, use "
            f"--trust-remote-code."
        )
    if task.trust_remote_code and not trust_remote_code:
        name = task.model.name if task.model else ""
        raise UsageError(
            f"the plan's prior {name!r} contains Python code. A plan may come from anyone: if you "
            f"trust that code, use --trust-remote-code here as well."
        )


@contextmanager
def swept(folder: RunFolder) -> Iterator[None]:
    """Nothing of dead processes is left before, and nothing of the engine's after it."""
    sweep(folder)
    try:
        yield
    finally:
        sweep(folder)


def sweep(folder: RunFolder) -> None:
    """Remove what killed processes left: temporary files, journals of shards that are done, files of progress."""
    folder.sweep()
    forget_dead(folder)


def waiting(plan: Plan, folder: RunFolder, shard_group: str | None = None) -> list[int]:
    """The shards of a group, or of all, that are not done in every pass.

    Raises:
        UsageError: there is no such group.
    """
    group = shards_of_group(plan, shard_group)
    names = {shard.name for shard in folder.unfinished(plan, [plan.shards[index] for index in group])}
    return [index for index in group if plan.shards[index].name in names]


def shards_of_group(plan: Plan, shard_group: str | None) -> list[int]:
    """Every Nth shard, from the largest to the smallest, so that groups are alike."""
    order = sorted(range(len(plan.shards)), key=lambda index: -plan.shards[index].num_bytes)
    if shard_group is None:
        return order
    found = re.fullmatch(r"(\d+)/(\d+)", shard_group)
    if found is None or not int(found[1]) < int(found[2]):
        raise UsageError(f"shard group {shard_group!r} is not I/N with I from 0 to N-1, such as 0/4.")
    return order[int(found[1]) :: int(found[2])]
