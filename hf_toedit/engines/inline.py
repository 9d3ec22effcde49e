"""The engine without processes of its own: edits in this one (`--workers 0`), for debuggers and small machines."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from hf_toedit.config import EditConfig, PriorConfig, Resources
from hf_toedit.engines.base import Queue, ReadyPrior, ends_the_run, told
from hf_toedit.errors import reason
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats

if TYPE_CHECKING:
    from hf_toedit.editing.editor import Editor


class InlineEngine:
    """Edits shards in this process, one after the other; see `Engine`."""

    def __init__(self, prior: PriorConfig, edit: EditConfig, resources: Resources) -> None:
        """Nothing is loaded yet.

        Args:
            prior: its settings.
            edit: how tokens are edited.
            resources: what it may use of this machine.
        """
        self._prior = prior
        self._edit = edit
        self._resources = resources

    def ready(self) -> ReadyPrior:
        """Load the prior; see `Engine.ready`."""
        return self._loaded[0]

    def run(self, plan: Plan, folder: RunFolder, indices: Iterable[int], monitor: Monitor) -> None:
        """Edit shards; see `Engine.run`."""
        from hf_toedit.runs.shard import run_shard

        def progress(generation: int, stats: EditStats, is_known: bool) -> None:
            monitor.rows(0, generation, told(stats, is_known))

        ready, editor = self._loaded
        ready.check(plan)
        waiting = Queue(plan, indices)
        while waiting:
            index = waiting.take()
            monitor.began(0, index)
            try:
                run_shard(plan, index, editor, folder, progress)
            except Exception as error:
                if ends_the_run(error):
                    raise
                waiting.give_back(index, 0, monitor, reason(error))
            else:
                monitor.done(0)

    @cached_property
    def _loaded(self) -> tuple[ReadyPrior, Editor]:
        from hf_toedit.editing.editor import Editor

        ready, prior = ReadyPrior.load(self._prior, self._resources)
        return ready, Editor(prior, self._edit)

    def __enter__(self) -> InlineEngine:
        """Ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to stop."""
