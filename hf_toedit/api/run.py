"""`Run`: a run folder with its operations."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, cast

from hf_toedit.api.engine import Workers, local_engine
from hf_toedit.api.outcome import Outcome, closed
from hf_toedit.api.pushing import PushSettings, sending_of
from hf_toedit.checked import checked
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
    AnyStatistics = TypeVar("AnyStatistics")  # Python supports defaults only from 3.13


class Run(Shown, Generic[AnyStatistics]):
    """A run: its plan, and the folder in which its shards are written.

    Attributes:
        folder: The run folder, on this machine or in storage.
        plan: The run's plan.

    Examples:
        >>> run = Run.open("run")  # doctest: +SKIP
        >>> run.execute(workers=2).is_finished  # doctest: +SKIP
        True
    """

    def __init__(self, folder: RunFolder, plan: Plan) -> None:
        """Create a run whose plan is in the folder; `open`, `plan` and `edit` call this."""
        self.folder = folder
        self.plan = plan
        self._kept = plan

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> Run[Any]:
        """Open the run in a folder.

        Args:
            folder: Folder created by `plan` or `edit`, in Python or on the command line; or its address in storage.

        Raises:
            RunError: There is no run, or its plan cannot be read.
        """
        there = RunFolder(checked(folder, str, "folder"))
        return cls(there, there.plan())

    @property
    def path(self) -> AnyPath:
        """Location of the run folder."""
        return self.folder.root

    def __repr__(self) -> str:
        """Format the run on one line: its location and size."""
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
        """Process the shards that are not done yet, and write the card when all are done.

        The call may be interrupted at any moment, by any means, and repeated.

        Args:
            workers: Number of worker processes; `auto` is one per GPU, or one on a CPU; 0 works in this process.
            engine: Engine that does the work instead, such as `RayEngine`.
            generations: Continue to this generation; None keeps the plan.
            score_result: Score the output of the last generation, so that its probabilities are known as well.
            shard_group: `I/N`, every Nth shard from the Ith: a share of the work.
            device: Device of the model.
            token_budget: See `Resources`, as for `memory_fraction` and `tensor_parallel`.
            memory_fraction: Share of a GPU's memory that may be used.
            tensor_parallel: Number of GPUs that share one copy of the prior.
            trust_remote_code: Allow code that the plan specifies for its prior to run.
            progress: Show a progress bar, in a terminal or a notebook.

        Returns:
            The progress of the run.

        Raises:
            RunError: Shards failed at every try, or no text could be read; finished shards are kept.
            PriorError: The model cannot be loaded, or fails on every text.
            UsageError: A setting is not valid, or code would run that was not allowed.
        """
        checked(shard_group, str | None, "shard_group")
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
        """Plan further passes, and check that code specified in the plan may run; nothing is written.

        Raises:
            UsageError: There are already more generations, or such code may not run.
        """
        self.plan = replace(self.plan, task=self.plan.task.further(generations, score_result))
        check_trust(self.plan, trust_remote_code)

    def keep(self) -> None:
        """Write the plan if it has further passes now.

        Raises:
            RunError: The plan cannot be written.
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
        """Process some shards with an engine: the first half of `execute`, for callers that have an engine.

        Args:
            engine: The engine.
            indices: Indices of the shards in the plan.
            progress: Show a progress bar.
            on_done: Callback; called with the name of each finished shard.

        Returns:
            The shards that failed at every try; the others are done.
        """
        from hf_toedit.progress import RunProgress

        rows = [self.plan.shards[index].num_rows for index in indices]
        num_rows = None if None in rows else sum(count or 0 for count in rows) * len(self.plan.passes)
        stage = f"loading {self.plan.task.model_words}" if self.plan.task.model else "starting"
        with (
            RunProgress(num_rows, not progress, stage) as bar,
            Monitor(self.plan, self.folder, bar, on_done) as monitor,
        ):
            engine.run(self.plan, self.folder, indices, monitor)
        return monitor.failures

    def close(self, failures: Sequence[Failure] = ()) -> Outcome:
        """Write the card if the run is finished, and report what went wrong: the second half of `execute`.

        Args:
            failures: Result of `work`.
        """
        return closed(self.plan, self.folder, self.status(), failures)

    def status(self) -> Status:
        """Return the progress of the run: shards done, running and failed, the speed, and figures so far."""
        return run_status(self.plan, self.folder)

    def verify(
        self,
        *,
        with_source: bool = True,
        progress: bool = True,
        read: Callable[..., Verification] | None = None,
    ) -> Verification:
        """Read all output again and compare it with the plan, the source and the statistics.

        Args:
            with_source: Read the source as well.
            progress: Show a progress bar.
            read: Function that reads instead of `verify_run`, such as `HubRun.verify` for data on the Hub.

        Returns:
            The findings; `problems` is empty if the run is sound.

        Raises:
            SourceError: The source is missing on this machine, or has changed.
            UsageError: The run has no rows.
        """
        from hf_toedit.progress import counted_progress
        from hf_toedit.runs.located import located
        from hf_toedit.runs.verify import mark_verified, verify_run

        self.plan.check_rows("verified")
        plan = located(self.plan) if with_source else self.plan
        with counted_progress("shards", len(plan.shards), not progress) as bar:
            found = (read or verify_run)(plan, self.folder, with_source=with_source, progress=bar)
        if read is None and not found.problems:
            with suppress(RunError):  # a read-only folder can still be verified
                mark_verified(plan, self.folder, with_source=with_source)
        return found

    def card(self) -> list[AnyPath]:
        """Write the dataset card and its pictures; text that people added to the card is kept.

        Returns:
            The files.

        Raises:
            RunError: The run is not finished, or the card cannot be written.
        """
        from hf_toedit.cards.card import write_card

        return list(write_card(self.plan, self.folder))

    def push(self, repo: str, *, progress: bool = True, **how: Unpack[PushSettings]) -> Pushed:
        """Push the finished run to a dataset repository, the card last; files already there are not sent again.

        Args:
            repo: `org/name`; created as a private repository if it does not exist.
            progress: Show files and bytes.
            **how: `revision`: branch of the repository, created if it does not exist. `prefix`: folder of the
                repository. `public`: make the repository public, if it is created now. `create_pr`: open a pull
                request, or continue that of the same run. `replace`: delete files that another run or tool left there.
                `unverified`: push although the run was not verified.

        Raises:
            RunError: The run is not finished or not verified, or the repository contains something else.
            HubError: The Hub does not answer, or refuses.
        """
        with sending_of(self.plan, self.folder, repo, progress, how) as sending, kept():
            sending.check()
            return sending()

    def outlook(self, repo: str, *, progress: bool = True, **how: Unpack[PushSettings]) -> Outlook:
        """Return what `push` would create, send and delete; nothing is written.

        Raises:
            RunError, HubError: As in `push`.
        """
        with sending_of(self.plan, self.folder, repo, progress, how) as sending:
            return sending.outlook()

    def revert(
        self, folder: str | PathLike[str], generation: int | None = None, *, skip_unrevertible: bool = False
    ) -> Reverted:
        """Write the source rows again, from one generation alone, as `hf-toedit revert` does.

        Args:
            folder: New folder for the source rows.
            generation: Generation to start from; None is the last.
            skip_unrevertible: Leave out rows whose edit log is missing or wrong, instead of failing.

        Raises:
            SourceError: Some rows cannot be rebuilt; nothing is written.
            RunError: The folder is not empty, or there is no such generation.
            UsageError: The rows are not edited.
        """
        from hf_toedit.api.revert import revert_rows

        return revert_rows(str(self.path), folder, generation=generation, skip_unrevertible=skip_unrevertible)

    def stats(self, pass_: int | str | None = None) -> AnyStatistics:
        """Return the statistics of a pass over all shards: `EditStats` of a generation, `ScoreStats` of scores.

        Args:
            pass_: Generation number, or the name of a pass such as `gen2` or `result`; None is the last with rows.

        Raises:
            UsageError: There is no such pass.
            RunError: A shard is not done.
        """
        merged: Any = self.folder.merged_stats(self.plan, self._pass(pass_))
        return cast("AnyStatistics", merged)

    def dataset(self, pass_: int | str | None = None, *, streaming: bool = False) -> DatasetDict | IterableDatasetDict:
        """Return the rows of a pass, as `load_dataset` loads them from the run folder.

        Args:
            pass_: Generation number, or the name of a pass; None is the last with rows.
            streaming: Read rows on demand, without a cache.

        Raises:
            UsageError: There is no such pass, or it writes no rows; or `datasets` cannot load a folder of this name.
            RunError: A shard is not done.
        """
        from datasets import load_dataset

        found = self._pass(pass_)
        if not found.writes_rows:
            raise UsageError(f"pass {found.name!r} of {self.path} writes no rows. Its figures are in stats().")
        self.folder.merged_stats(self.plan, found)
        if isinstance(self.path, Path) and glob.has_magic(os.path.realpath(self.path)):
            raise UsageError(f"`datasets` reads [, * and ? in {str(self.path)!r} as a pattern. Rename that folder.")
        loaded: Any = load_dataset(str(self.path), found.name, streaming=streaming)
        return loaded

    def texts(self, generation: int | None = None) -> Iterator[PieceTable | None]:
        """Yield the texts of a generation with their edits, in order; None for unedited texts; nothing without logs.

        Args:
            generation: Generation number, from 1; None is the last.

        Raises:
            UsageError: There is no such generation, or the rows are not edited.
            RunError: A shard is not done.
        """
        from hf_toedit.rows.rows import piece_tables
        from hf_toedit.tasks.edit import edit_of

        log_column = edit_of(self.plan).run.edit_log_column
        if log_column is None:
            return
        found, texts = self._pass(generation), self.plan.texts
        self.folder.merged_stats(self.plan, found)
        columns = [*texts.columns(self.plan.reading.features), log_column]
        for shard in self.plan.shards:
            for table in self.folder.tables(self.plan, found, shard, columns):
                yield from piece_tables(table, texts, log_column)

    def _pass(self, asked: int | str | None) -> Pass:
        passes = {pass_.name: pass_ for pass_ in self.plan.passes}
        if asked is None:
            return self.plan.shown_passes[-1]
        name = f"gen{asked}" if isinstance(asked, int) else asked
        if not isinstance(name, str) or name not in passes:
            raise UsageError(f"{self.path} has no {name!r}, only {', '.join(passes)}.")
        return passes[name]

    @contextmanager
    def _engine(
        self, workers: Workers, engine: Engine | None, device: str, resources: Resources, progress: bool
    ) -> Iterator[Engine]:
        """Yield the given engine, or that of this machine."""
        if engine is not None:
            yield engine
            return
        task = self.plan.task if device == "auto" else self.plan.task.on(device)
        with local_engine(workers, task, resources, progress=progress) as chosen:
            yield chosen
