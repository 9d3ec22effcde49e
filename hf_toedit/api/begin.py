"""Start of a run: reads its settings, finds and pins its source and model, and splits it into shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from hf_toedit.api.engine import Workers, local_engine, ready
from hf_toedit.api.request import RunRequest, new_folder
from hf_toedit.api.run import Run
from hf_toedit.checked import kinds
from hf_toedit.config import PriorConfig, Resources, SourceConfig
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.runs.work import swept, waiting

if TYPE_CHECKING:
    from hf_toedit.engines.base import Engine
    from hf_toedit.runs.monitor import Failure
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.task import Task

    Engines = Callable[[Task], AbstractContextManager[Engine]]
    """Creates the engine that does the work of a task."""


def plan_run(asked: RunRequest, folder: str | PathLike[str]) -> Run[Any]:
    """Plan a run without executing it."""
    there = new_folder(folder, asked.source)
    asked.begin(there, asked.task.resolved)
    return Run(there, there.plan())


def do_run(
    asked: RunRequest, folder: str | PathLike[str], workers: Workers, resources: Resources, progress: bool
) -> Run[Any]:
    """Plan and execute a run, or continue it; see `edit`."""
    return do_by(asked, folder, partial(local_engine, workers, resources=resources, progress=progress), progress)


def do_by(
    asked: RunRequest,
    folder: str | PathLike[str],
    engines: Engines,
    progress: bool,
    said: tuple[str | None, str | None] = (None, None),
) -> Run[Any]:
    """Plan and execute a run with any kind of engine; `said` is the typed command and the licence of the source."""
    there = new_folder(folder, asked.source)
    with swept(there), engines(asked.task) as engine:
        asked.begin(there, partial(ready, engine), *said)
        worked = _worked(there, engine, progress)
    return _closed(*worked)


def do_planned(plan: Plan, folder: str, engines: Engines, progress: bool) -> Run[Any]:
    """Execute a run that is already planned, or continue it."""
    there = new_folder(folder, plan.source)
    with swept(there), engines(plan.task) as engine:
        there.open(plan)
        worked = _worked(there, engine, progress)
    return _closed(*worked)


def _worked(folder: RunFolder, engine: Engine, progress: bool) -> tuple[Run[Any], list[Failure]]:
    run: Run[Any] = Run(folder, folder.plan())
    indices = waiting(run.plan, folder)
    return run, run.work(engine, indices, progress=progress) if indices else []


def _closed(run: Run[Any], failures: list[Failure]) -> Run[Any]:
    if (error := run.close(failures).error) is not None:
        raise error
    return run


class Taken:
    """Keyword arguments, from which the settings are taken group by group."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Store the arguments.

        Args:
            given: Names and values.
        """
        self._left = dict(given)
        self._known: list[str] = []

    def some(self, *names: str, **renamed: str) -> dict[str, Any]:
        """Take the given ones of these settings; `field=name` if a setting's name differs from its field."""
        wanted = {**{name: name for name in names}, **renamed}
        self._known += wanted.values()
        return {field: self._left.pop(name) for field, name in wanted.items() if name in self._left}

    def source(self, source: str | PathLike[str]) -> SourceConfig:
        """Take the settings of the rows and texts of a source."""
        names = [name for name in kinds(SourceConfig) if name not in ("source", "text_columns")]
        return SourceConfig.from_mapping({"source": source, **self.some(*names, text_columns="text_column")})

    def prior(self) -> PriorConfig:
        """Take the settings of the prior."""
        names = [name for name in kinds(PriorConfig) if name != "revision"]
        return PriorConfig.from_mapping(self.some(*names, revision="prior_revision"))

    def shape(self) -> dict[str, Any]:
        """Take the settings of how the source is split into shards."""
        return self.some("shard_size", "num_shards")

    def rest(self, *names: str) -> dict[str, Any]:
        """Take all remaining settings.

        Args:
            names: Names that are allowed.

        Raises:
            UsageError: There is a setting with another name.
        """
        for name in self._left:
            if name not in names:
                raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, [*self._known, *names])}")
        return self._left
