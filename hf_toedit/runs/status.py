"""How far a run is: what is done, running, failed, how fast, and how long it will take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hf_toedit.runs.monitor import Failure, Running, failures, processes
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats, generation_figures


@dataclass(frozen=True)
class Status:
    """The state of a run at one moment.

    Attributes:
        num_shards: of the plan.
        num_done: shards done in every generation.
        running: shards that some process is at.
        failed: shards that were given up, and why.
        generations: statistics of each generation over the shards that are done in it.
        shards_by_generation: how many that are.
        num_bytes: of text, planned, over all passes.
        num_bytes_done: of these, what is through, also of running shards where planning counted their rows.
        num_tokens_done: tokens in them.
        tokens_per_second: of all processes together, now; None where nothing runs.
    """

    num_shards: int
    num_done: int
    running: tuple[Running, ...]
    failed: tuple[Failure, ...]
    generations: tuple[EditStats, ...]
    shards_by_generation: tuple[int, ...]
    num_bytes: int
    num_bytes_done: float
    num_tokens_done: int
    tokens_per_second: float | None

    @property
    def is_finished(self) -> bool:
        """Whether every shard is done in every generation."""
        return self.num_done == self.num_shards

    @property
    def seconds_left(self) -> float | None:
        """Estimated from tokens a byte so far and the speed now; None where nothing is known or nothing runs."""
        if not (self.tokens_per_second and self.num_bytes_done and self.num_tokens_done):
            return None
        tokens_per_byte = self.num_tokens_done / self.num_bytes_done
        return (self.num_bytes - self.num_bytes_done) * tokens_per_byte / self.tokens_per_second

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "num_shards": self.num_shards,
            "num_done": self.num_done,
            "num_waiting": self.num_shards - self.num_done - len(self.running) - len(self.failed),
            "finished": self.is_finished,
            "running": [asdict(running) for running in self.running],
            "failed": [asdict(failure) for failure in self.failed],
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
            "generations": [
                {"num_shards": count, **stats.summary(), **figures.to_json()}
                for count, stats, figures in zip(
                    self.shards_by_generation, self.generations, generation_figures(self.generations), strict=True
                )
            ],
        }


def run_status(plan: Plan, folder: RunFolder) -> Status:
    """Read the state of a run from its folder.

    Args:
        plan: of the run.
        folder: of the run.
    """
    done = [folder.all_stats(plan, generation, plan.shards) for generation in plan.generations]
    by_generation = tuple(done)
    if plan.run.score_result:
        done.append(folder.all_result_stats(plan, plan.shards))
    shards = {shard.name: shard for shard in plan.shards}
    finished = set(shards).intersection(*done)
    states = processes(folder)
    # Two processes may be at one shard, and what they say of themselves may be older than what lies in the folder.
    running = {entry.shard: entry for state in states for entry in state.running if entry.shard not in finished}
    through = [
        (shards[name], entry)
        for name, entry in running.items()
        if shards[name].num_rows and name not in done[entry.generation - 1]
    ]
    return Status(
        num_shards=len(shards),
        num_done=len(finished),
        running=tuple(running.values()),
        failed=tuple(failure for failure in failures(folder) if failure.shard not in {*running, *finished}),
        generations=tuple(EditStats.merged(parts.values()) for parts in by_generation),
        shards_by_generation=tuple(len(parts) for parts in by_generation),
        num_bytes=plan.num_bytes * plan.num_passes,
        num_bytes_done=sum(shards[name].num_bytes for parts in done for name in parts)
        + sum(shard.num_bytes * entry.num_rows / (shard.num_rows or 1) for shard, entry in through),
        num_tokens_done=sum(stats.num_tokens for parts in done for stats in parts.values())
        + sum(entry.num_tokens for _, entry in through),
        tokens_per_second=sum(state.tokens_per_second for state in states) if states else None,
    )
