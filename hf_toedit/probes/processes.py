"""Several processes that train together, as `accelerate launch` and `torchrun` start them.

All of them train; the main one alone scores, evaluates, reports and writes, while the others wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hf_toedit.errors import UsageError

_TIMEOUT = timedelta(days=30)
"""How long processes wait for the main one, which may evaluate for hours; a launcher ends them if it fails."""


def num_processes() -> int:
    """Return the number of processes; 1 if none of the launchers started this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_main() -> bool:
    """Whether this is the main process."""
    return num_processes() == 1 or os.environ["RANK"] == "0"


def join(cpu: bool) -> None:
    """Connect this process to the others, if there are any.

    Args:
        cpu: Whether they train on CPU.
    """
    if num_processes() > 1:
        from accelerate import PartialState

        PartialState(cpu=cpu, timeout=_TIMEOUT)


def wait() -> None:
    """Wait until all processes have come here."""
    if num_processes() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block in the main process, then in the others."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def of_main(value: bool) -> bool:
    """Return the value that the main process has."""
    if num_processes() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    found: list[bool] = broadcast_object_list([value])
    return found[0]


def blocks_per_process(batch_size: int) -> int:
    """Return the number of blocks that each process reads per step.

    Args:
        batch_size: Number of blocks per step.

    Raises:
        UsageError: The blocks cannot be divided equally.
    """
    count = num_processes()
    if batch_size % count:
        raise UsageError(
            f"{count} processes cannot divide a step of {batch_size} blocks equally. Set --batch-size to a multiple of "
            f"{count}."
        )
    return batch_size // count
