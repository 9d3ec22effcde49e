"""The remaining work of a run, and the check that its code is trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hf_toedit.errors import UsageError
from hf_toedit.runs.monitor import forget_dead
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder


def check_trust(plan: Plan, trust_remote_code: bool) -> None:
    """Refuse to run code that a plan names, of its model or a user-defined class, unless it is trusted.

    Raises:
        UsageError: The plan names such code, and the user did not allow it.
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
    """Remove leftovers of dead processes before the block, and those of the engine after it."""
    sweep(folder)
    try:
        yield
    finally:
        sweep(folder)


def sweep(folder: RunFolder) -> None:
    """Remove leftovers of killed processes: temporary files, journals of finished shards, progress files."""
    folder.sweep()
    forget_dead(folder)


def waiting(plan: Plan, folder: RunFolder, shard_group: str | None = None) -> list[int]:
    """Return the shards of a group, or of all, that are not done in every pass.

    Raises:
        UsageError: The group is invalid.
    """
    group = shards_of_group(plan, shard_group)
    names = {shard.name for shard in folder.unfinished(plan, [plan.shards[index] for index in group])}
    return [index for index in group if plan.shards[index].name in names]


def shards_of_group(plan: Plan, shard_group: str | None) -> list[int]:
    """Return every Nth shard in order of decreasing size, so that groups are similar."""
    order = sorted(range(len(plan.shards)), key=lambda index: -plan.shards[index].num_bytes)
    if shard_group is None:
        return order
    found = re.fullmatch(r"(\d+)/(\d+)", shard_group)
    if found is None or not int(found[1]) < int(found[2]):
        raise UsageError(f"shard group {shard_group!r} is not I/N with I from 0 to N-1, such as 0/4.")
    return order[int(found[1]) :: int(found[2])]
