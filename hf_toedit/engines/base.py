"""What engines share: the order of shards, tries, and why a shard failed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hf_toedit.checked import checked
from hf_toedit.config import Dtype, PriorConfig, Resources
from hf_toedit.editing.selection import own_revisions
from hf_toedit.errors import OutOfMemory, PriorError, RunError
from hf_toedit.priors.pinning import is_same_prior
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats

if TYPE_CHECKING:
    from hf_toedit.editing.prior import Prior

MAX_TRIES = 3
"""How often a shard is begun before the run goes on without it."""

MAX_LOSSES = 10
"""How often the loss of its machine is no fault of a shard; from then on it counts as a try."""


@dataclass(frozen=True)
class ReadyPrior:
    """A prior as it was loaded.

    Attributes:
        config: its settings, the commit and the dtype resolved.
        revision: what pins it.
    """

    config: PriorConfig
    revision: str

    @classmethod
    def load(cls, config: PriorConfig, resources: Resources) -> tuple[ReadyPrior, Prior]:
        """Load a prior by its settings; see `load_prior`."""
        from hf_toedit.priors.registry import load_prior, pinned

        config, revision = pinned(config)
        prior = load_prior(config, resources)
        return cls(replace(config, dtype=checked(prior.dtype, Dtype, "dtype")), revision), prior

    def check(self, plan: Plan) -> None:
        """Refuse to go on with another prior, selection rule or sampler than was planned.

        Raises:
            PriorError: the prior has changed since.
            RunError: the code of a rule or sampler of the user's own has.
        """
        planned = plan.provenance.get("own", {})
        for setting, revision in own_revisions(plan.edit).items():
            if setting in planned and planned[setting].get("revision") != revision:
                raise RunError(
                    f"--{setting} {plan.edit.own[setting]!r} is not the one that was planned: its code has changed. "
                    f"Put the old code back, or plan a new run."
                )
        is_same = is_same_prior(self.config, self.revision, plan.prior_revision)
        if not is_same or self.config.dtype != plan.prior.dtype:
            raise PriorError(
                f"prior {plan.prior.prior!r} is not the one that was planned: {self.config.dtype} at {self.revision}, "
                f"not {plan.prior.dtype} at {plan.prior_revision}. Put the old one back, or plan a new run."
            )


class Engine(Protocol):
    """Calls `run_shard` for shards, in processes of its own or in this one. A context manager."""

    def ready(self) -> ReadyPrior:
        """Wait until the prior is loaded somewhere.

        Raises:
            PriorError: it cannot be.
        """
        ...

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Edit shards; those that fail at every try are reported to the monitor, and the rest goes on.

        Raises:
            RunError: the run folder cannot be written, or workers cannot live.
            PriorError: the prior cannot be loaded, or fails on every text.
        """
        ...


class Queue:
    """Shards that wait, the largest first: the last to finish should be small."""

    def __init__(self, plan: Plan, indices: Iterable[int]) -> None:
        """Put them in order."""
        self._waiting = deque(sorted(indices, key=lambda index: -plan.shards[index].num_bytes))
        self._tries: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self) -> int:
        """The next one."""
        index = self._waiting.popleft()
        self._tries[index] += 1
        return index

    def give_back(self, index: int, worker: int, monitor: Monitor, reason: str) -> None:
        """Put a shard that failed at the end or, where it has been tried often enough, give it up."""
        if self._tries[index] < MAX_TRIES:
            self._waiting.append(index)
            monitor.stopped(worker)
        else:
            monitor.failed(worker, reason)

    def take_back(self, index: int, worker: int, monitor: Monitor, reason: str) -> None:
        """The same with a shard whose machine was lost, which is no fault of it."""
        self._losses[index] += 1
        if self._losses[index] <= MAX_LOSSES:
            self._tries[index] -= 1
        self.give_back(index, worker, monitor, reason)


def told(stats: EditStats, is_known: bool) -> dict[str, int]:
    """What a monitor is told of a batch of rows; nothing was read for one that was known before."""
    counts = {name: getattr(stats, name) for name in ("num_rows", "num_tokens", "num_selected", "num_changed")}
    return {**counts, "num_tokens_read": 0 if is_known else stats.num_tokens}


def ends_the_run(error: Exception) -> bool:
    """Whether an error concerns every shard: the folder cannot be written, or the prior not be used."""
    return isinstance(error, RunError | PriorError) and not isinstance(error, OutOfMemory)
