"""`Run`: a run folder, and all that can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, cast

from hf_toedit.api.engine import Workers, local_engine
from hf_toedit.api.outcome import Outcome, closed
from hf_toedit.api.pushing import PushSettings, sending_of
from hf_toedit.config import Resources
from hf_toedit.display import Shown
from hf_toedit.errors import RunError, UsageError, kept
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.monitor import Failure, Monitor
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.status import Status, run_status
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.work import check_trust, sweep, swept, waiting
from hf_toedit.storage.remote import AnyPath

if TYPE_CHECKING:
    from datasets import DatasetDict, IterableDatasetDict
    from typing_extensions import TypeVar, Unpack

    from hf_toedit.api.revert import Reverted
    from hf_toedit.editing.piece_table import PieceTable
    from hf_toedit.engines.base import Engine
    from hf_toedit.publish.outcome import Outlook, Pushed
    from hf_toedit.runs.verify import Verification
else:
    from typing import TypeVar


if TYPE_CHECKING:
    AnyStatistics = TypeVar("AnyStatistics", bound=Statistics, default=Any)
else:
    AnyStatistics = TypeVar("AnyStatistics")  # Python has no defaults for these before 3.13


class Run(Shown, Generic[AnyStatistics]):
    """A run: its plan, and the folder in which its shards appear.

    Attributes:
        folder: of the run, on this machine or in storage.
        plan: what it does.

    Examples:
        >>> run = Run.open("run")  # doctest: +SKIP
        >>> run.execute(workers=2).is_finished  # doctest: +SKIP
        True
    """

    def __init__(self, folder: RunFolder, plan: Plan) -> None:
        """A run whose plan lies in the folder; see `open`, `plan` and `edit`, which make one."""
        self.folder = folder
        self.plan = plan
        self._kept = plan

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> Run[Any]:
        """The run in a folder.

        Args:
            folder: made by `plan` or `edit`, here or on the command line; or its address in storage.

        Raises:
            RunError: there is no run, or its plan cannot be read.
        """
        there = RunFolder(Path(folder) if isinstance(folder, PathLike) else folder)
        return cls(there, there.plan())

    @property
    def path(self) -> AnyPath:
        """Where its folder is."""
        return self.folder.root

    def __repr__(self) -> str:
        """One line: where it is, and how large."""
        source, count, passes = self.plan.source.source, len(self.plan.shards), self.plan.shown_passes
        names = passes[0].name if len(passes) == 1 else f"{passes[0].name} to {passes[-1].name}"
        return (
            f"Run({str(self.path)!r}, {source!r} {self.plan.task.done} in {count:,} shard{'s' * (count != 1)}, {names})"
        )

    def execute(
        self,
        *,
        workers: Workers = "auto",
        engine: Engine | None = None,
        generations: int | None = None,
        score_result: bool = False,
        shard_group: str | None = None,
        device: str = "auto",
        token_budget: int | None = None,
        memory_fraction: float = 0.9,
        tensor_parallel: int = 1,
        trust_remote_code: bool = False,
        progress: bool = True,
    ) -> Status:
        """Do the shards that are not done yet, and write the card when all are.

        May be stopped at any moment, by any means, and called again.

        Args:
            workers: processes; `auto` is one a GPU, or one on a CPU; 0 works in this process.
            engine: does the work instead, such as `RayEngine`.
            generations: go on to this one; None is as planned.
            score_result: read the last generation once more, so that its probabilities are known as well.
            shard_group: `I/N`, every Nth shard from the Ith: a share of the work.
            device: where the model runs.
            token_budget: see `Resources`, as are `memory_fraction` and `tensor_parallel`.
            memory_fraction: share of a GPU's memory that may be used.
            tensor_parallel: GPUs that share one copy of the prior.
            trust_remote_code: the plan may name code of its prior, and that code may run.
            progress: show a bar, in a terminal or a notebook.

        Returns:
            How far the run is.

        Raises:
            RunError: shards failed at every try, or no text could be read; what is done is kept.
            PriorError: the model cannot be loaded, or fails on every text.
            UsageError: a setting is none, or code would run that was not allowed.
        """
        self.go_on(generations, score_result, trust_remote_code)
        self.keep()
        indices = waiting(self.plan, self.folder, shard_group)
        failures: list[Failure] = []
        if indices:
            self.folder.check()
            resources = Resources(token_budget, memory_fraction, tensor_parallel)
            with swept(self.folder), self._engine(workers, engine, device, resources, progress) as chosen:
                failures = self.work(chosen, indices, progress=progress)
        else:
            sweep(self.folder)  # the process that did the last shard may have been killed right after it
        outcome = self.close(failures)
        if outcome.error is not None:
            raise outcome.error
        return outcome.status

    def go_on(self, generations: int | None, score_result: bool, trust_remote_code: bool) -> None:
        """Plan further passes, and see that code which the plan names may run; nothing is written.

        Raises:
            UsageError: there are more generations already, or such code may not run.
        """
        self.plan = replace(self.plan, task=self.plan.task.further(generations, score_result))
        check_trust(self.plan, trust_remote_code)

    def keep(self) -> None:
        """Write the plan where it has further passes now.

        Raises:
            RunError: it cannot be written.
        """
        if self.plan != self._kept:
            self.folder.replan(self.plan)
            self._kept = self.plan

    def work(
        self,
        engine: Engine,
        indices: Sequence[int],
        *,
        progress: bool = True,
        on_done: Callable[[str], None] | None = None,
    ) -> list[Failure]:
        """Have an engine do some shards: the first half of `execute`, for whoever has one.

        Args:
            engine: does them.
            indices: of the shards in the plan.
            progress: show a bar.
            on_done: called with the name of each shard that is done.

        Returns:
            Those that failed at every try; the others are done.
        """
        from hf_toedit.progress import RunProgress

        rows = [self.plan.shards[index].num_rows for index in indices]
        num_rows = None if None in rows else sum(count or 0 for count in rows) * len(self.plan.passes)
        with RunProgress(num_rows, not progress) as bar, Monitor(self.plan, self.folder, bar, on_done) as monitor:
            engine.run(self.plan, self.folder, indices, monitor)
        return monitor.failures

    def close(self, failures: Sequence[Failure] = ()) -> Outcome:
        """Write the card if the run is finished, and say what went wrong: the second half of `execute`.

        Args:
            failures: of `work`.
        """
        return closed(self.plan, self.folder, self.status(), failures)

    def status(self) -> Status:
        """How far the run is: what is done, running and failed, the speed, and figures so far."""
        return run_status(self.plan, self.folder)

    def verify(
        self,
        *,
        with_source: bool = True,
        progress: bool = True,
        read: Callable[..., Verification] | None = None,
    ) -> Verification:
        """Read everything again and hold it against the plan, the source and the statistics.

        Args:
            with_source: read the source as well.
            progress: show a bar.
            read: reads instead of `verify_run`, such as `HubRun.verify` does where the data lie on the Hub.

        Returns:
            What was found; `problems` is empty where the run is sound.

        Raises:
            SourceError: the source is not here, or has changed.
            UsageError: the run has no rows.
        """
        from hf_toedit.progress import counted_progress
        from hf_toedit.runs.located import located
        from hf_toedit.runs.verify import mark_verified, verify_run

        self.plan.check_rows("verified")
        plan = located(self.plan) if with_source else self.plan
        with counted_progress("shards", len(plan.shards), not progress) as bar:
            found = (read or verify_run)(plan, self.folder, with_source=with_source, progress=bar)
        if read is None and not found.problems:
            with suppress(RunError):  # a folder that cannot be written is verified all the same
                mark_verified(plan, self.folder, with_source=with_source)
        return found

    def card(self) -> list[AnyPath]:
        """Write the dataset card and its pictures; what people wrote in it stays.

        Returns:
            The files.

        Raises:
            RunError: the run is not finished, or the card cannot be written.
        """
        from hf_toedit.cards.card import write_card

        return list(write_card(self.plan, self.folder))

    def push(self, repo: str, *, progress: bool = True, **how: Unpack[PushSettings]) -> Pushed:
        """Push the finished run to a dataset repository, the card last; what is there already is not sent again.

        Args:
            repo: `org/name`; made, private, if it is not there.
            progress: show files and bytes.
            **how: `revision`: branch of the repository, made if it is not there. `prefix`: folder of the repository.
                `public`: let everybody read the repository, if it is made now. `create_pr`: open a pull request, or go
                on with that of the same run. `replace`: delete what another run or tool left there. `unverified`: push
                although the run was not verified.

        Raises:
            RunError: the run is not finished, not verified, or something else lies there.
            HubError: the Hub does not answer, or refuses.
        """
        with sending_of(self.plan, self.folder, repo, progress, how) as sending, kept():
            sending.check()
            return sending()

    def outlook(self, repo: str, *, progress: bool = True, **how: Unpack[PushSettings]) -> Outlook:
        """What `push` would make, send and delete; nothing is written.

        Raises:
            RunError, HubError: as of `push`.
        """
        with sending_of(self.plan, self.folder, repo, progress, how) as sending:
            return sending.outlook()

    def revert(
        self, folder: str | PathLike[str], generation: int | None = None, *, skip_unrevertible: bool = False
    ) -> Reverted:
        """Write the source rows again, from one generation alone, as `hf-toedit revert` does.

        Args:
            folder: new, for the source rows.
            generation: to start from; None is the last.
            skip_unrevertible: leave out rows whose edit log is missing or wrong, instead of failing.

        Raises:
            SourceError: some rows cannot be rebuilt; nothing is written.
            RunError: the folder is not empty, or there is no such generation.
            UsageError: the rows are not edited.
        """
        from hf_toedit.api.revert import revert_rows

        return revert_rows(str(self.path), folder, generation=generation, skip_unrevertible=skip_unrevertible)

    def stats(self, pass_: int | str | None = None) -> AnyStatistics:
        """Statistics of a pass over all shards: `EditStats` of a generation, `ScoreStats` of scores.

        Args:
            pass_: a generation, or the name of a pass such as `gen2` or `result`; None is the last that writes rows.

        Raises:
            UsageError: there is no such pass.
            RunError: a shard is not done.
        """
        merged: Any = self.folder.merged_stats(self.plan, self._pass(pass_))
        return cast("AnyStatistics", merged)

    def dataset(self, pass_: int | str | None = None, *, streaming: bool = False) -> DatasetDict | IterableDatasetDict:
        """The rows of a pass, as `load_dataset` gives them of the run folder.

        Args:
            pass_: a generation, or the name of a pass; None is the last that writes rows.
            streaming: read rows when they are asked for, and cache nothing.

        Raises:
            UsageError: there is no such pass, or it writes no rows.
            RunError: a shard is not done.
        """
        from datasets import load_dataset

        found = self._pass(pass_)
        if not found.writes_rows:
            raise UsageError(f"pass {found.name!r} of {self.path} writes no rows. Its figures are in stats().")
        self.folder.merged_stats(self.plan, found)
        loaded: Any = load_dataset(str(self.path), found.name, streaming=streaming)
        return loaded

    def texts(self, generation: int | None = None) -> Iterator[PieceTable | None]:
        """The texts of a generation with their edits, in order; None for one that is not edited; nothing without logs.

        Args:
            generation: 1 to the last; None is the last.
        """
        from hf_toedit.rows.rows import piece_tables
        from hf_toedit.tasks.edit import edit_of

        log_column = edit_of(self.plan).run.edit_log_column
        if log_column is None:
            return
        found, texts = self._pass(generation), self.plan.texts
        columns = [*texts.columns(self.plan.reading.features), log_column]
        for shard in self.plan.shards:
            for table in self.folder.tables(self.plan, found, shard, columns):
                yield from piece_tables(table, texts, log_column)

    def _pass(self, asked: int | str | None) -> Pass:
        passes = {pass_.name: pass_ for pass_ in self.plan.passes}
        if asked is None:
            return self.plan.shown_passes[-1]
        name = f"gen{asked}" if isinstance(asked, int) else asked
        if name not in passes:
            raise UsageError(f"{self.path} has no {name!r}, only {', '.join(passes)}.")
        return passes[name]

    @contextmanager
    def _engine(
        self, workers: Workers, engine: Engine | None, device: str, resources: Resources, progress: bool
    ) -> Iterator[Engine]:
        """The engine that was given, or that of this machine."""
        if engine is not None:
            yield engine
            return
        task = self.plan.task if device == "auto" else self.plan.task.on(device)
        with local_engine(workers, task, resources, progress=progress) as chosen:
            yield chosen
