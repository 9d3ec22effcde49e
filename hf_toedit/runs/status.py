"""Status of a run: finished, running and failed shards, speed, and remaining time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from hf_toedit.mergeable import Statistics
from hf_toedit.runs.monitor import Failure, Running, failures, processes
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import Task


class PassStatus(NamedTuple):
    """Progress of a pass that writes rows.

    Attributes:
        pass_: The pass.
        num_shards: Number of shards that are done in it.
        statistics: Statistics of these shards.
    """

    pass_: Pass
    num_shards: int
    statistics: Statistics


@dataclass(frozen=True)
class Status:
    """The state of a run at one moment.

    Attributes:
        task: What is done to the rows.
        num_shards: Number of shards in the plan.
        num_done: Number of shards done in every pass.
        running: Shards that a process is working on.
        failed: Shards that were given up, with reasons.
        passes: Passes that write rows, in order.
        num_bytes: Planned text size over all passes, in bytes.
        num_bytes_done: Part of it that is processed, including running shards whose rows planning counted.
        num_tokens_done: Tokens in the processed part.
        tokens_per_second: Current speed of all processes together; None if no process is running.
    """

    task: Task
    num_shards: int
    num_done: int
    running: tuple[Running, ...]
    failed: tuple[Failure, ...]
    passes: tuple[PassStatus, ...]
    num_bytes: int
    num_bytes_done: float
    num_tokens_done: int
    tokens_per_second: float | None

    @property
    def is_finished(self) -> bool:
        """Whether every shard is done in every pass."""
        return self.num_done == self.num_shards

    @property
    def statistics(self) -> list[Statistics]:
        """Statistics of each pass that writes rows, over the shards that are done in it."""
        return [entry.statistics for entry in self.passes]

    @property
    def seconds_left(self) -> float | None:
        """Remaining time, estimated from tokens per byte so far and the current speed; None if either is unknown."""
        if not (self.tokens_per_second and self.num_bytes_done and self.num_tokens_done):
            return None
        tokens_per_byte = self.num_tokens_done / self.num_bytes_done
        return (self.num_bytes - self.num_bytes_done) * tokens_per_byte / self.tokens_per_second

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "task": self.task.kind,
            "num_shards": self.num_shards,
            "num_done": self.num_done,
            "num_waiting": self.num_shards - self.num_done - len(self.running) - len(self.failed),
            "finished": self.is_finished,
            "running": [
                {
                    "shard": entry.shard,
                    "pass": entry.pass_name,
                    "num_rows": entry.num_rows,
                    "num_tokens": entry.num_tokens,
                }
                for entry in self.running
            ],
            "failed": [asdict(failure) for failure in self.failed],
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
            **self.task.report({entry.pass_: (entry.num_shards, entry.statistics) for entry in self.passes}),
        }


def run_status(plan: Plan, folder: RunFolder) -> Status:
    """Read the state of a run from its folder.

    Args:
        plan: The run's plan.
        folder: The run folder.
    """
    done = {pass_: folder.all_stats(plan, pass_, plan.shards) for pass_ in plan.passes}
    by_name = {pass_.name: parts for pass_, parts in done.items()}
    shards = {shard.name: shard for shard in plan.shards}
    finished = set(shards).intersection(*done.values())
    states = processes(folder)
    # Two processes may work on the same shard, and their reports may be older than the files in the folder.
    running = {entry.shard: entry for state in states for entry in state.running if entry.shard not in finished}
    through = [
        (shards[name], entry)
        for name, entry in running.items()
        if name in shards and shards[name].num_rows and name not in by_name.get(entry.pass_name, {})
    ]
    merged = plan.task.statistics.merged
    return Status(
        task=plan.task,
        num_shards=len(shards),
        num_done=len(finished),
        running=tuple(running.values()),
        failed=tuple(failure for failure in failures(folder) if failure.shard not in {*running, *finished}),
        passes=tuple(PassStatus(pass_, len(done[pass_]), merged(done[pass_].values())) for pass_ in plan.shown_passes),
        num_bytes=plan.num_bytes * len(plan.passes),
        num_bytes_done=sum(shards[name].num_bytes for parts in done.values() for name in parts)
        + sum(shard.num_bytes * entry.num_rows / (shard.num_rows or 1) for shard, entry in through),
        num_tokens_done=sum(stats.num_tokens for parts in done.values() for stats in parts.values())
        + sum(entry.num_tokens for _, entry in through),
        tokens_per_second=sum(state.tokens_per_second for state in states) if states else None,
    )
