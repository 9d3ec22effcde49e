"""The `Task` protocol: what differs between editing, scoring and other operations on the rows of a run.

Plan, shards, completion, resume, engines, storage, status, verification, push and pull depend only on this protocol.
Tasks are found by name in a registry; other packages add theirs as entry points of the group `hf_toedit.tasks`. A plan
is untrusted input, so it names an installed task and never contains code.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from hf_toedit.checked import from_json, in_json
from hf_toedit.config import Resources
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.mergeable import Statistics
from hf_toedit.priors.names import ModelName
from hf_toedit.runs.passes import Batch, Kept, Pass, Rows

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.editing.alignment import Document
    from hf_toedit.rows.texts import Texts

TASKS = {
    "best-of": "hf_toedit.tasks.best_of:BestOfTask",
    "edit": "hf_toedit.tasks.edit:EditTask",
    "generate": "hf_toedit.tasks.generate:GenerateTask",
    "measure": "hf_toedit.tasks.measure:MeasureTask",
    "mix": "hf_toedit.tasks.mix:MixTask",
    "mix-part": "hf_toedit.tasks.mix:PartTask",
    "read": "hf_toedit.tasks.read:ReadTask",
    "score": "hf_toedit.tasks.score:ScoreTask",
    "select": "hf_toedit.tasks.select:SelectTask",
    "weigh": "hf_toedit.tasks.weigh:WeighTask",
}
"""Classes of tasks by their names in plans."""

GROUP = "hf_toedit.tasks"
"""Entry point group of other packages: task name and class."""

Consequence = tuple[tuple[str, ...], tuple[str, ...], str]
"""Facts that follow from others: prefixes of their names, prefixes of their causes, and message for a difference."""


class LoadedTask(ABC):
    """A task with its model, loaded once per worker."""

    concurrency: int = 1
    """Number of threads in which `read` may usefully run concurrently."""

    @abstractmethod
    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """Process rows in order, batch by batch; the result for a row must not depend on its batch.

        Args:
            texts: Selects the texts of the rows.
            tables: The rows, in tables of any length.
            pass_: The pass.
            known: Returns an earlier result for some rows, or None; called in order.
        """

    @abstractmethod
    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        """Tokenize rows, to estimate the number of tokens and the reading speed.

        Returns:
            Number of tokens of each row's texts, as statistics count them, int64 `[rows]`; and the documents that the
            model reads for them.
        """

    @abstractmethod
    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """Run the model on some documents, each batch in its own thread, and discard the results."""


class RowCheck(ABC):
    """Compares the rows of one shard with its source and its statistics, portion by portion, pass by pass."""

    @abstractmethod
    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        """Check a portion of the rows of a pass.

        Args:
            pass_: The pass.
            table: Its rows.
            before: The same rows as the pass read them; None if they are not available.
            source: The same rows of the source; None if they are not available.
            first: Number of the first row in its shard.

        Yields:
            Each problem and its place. If there is none, the rows are counted.
        """

    @abstractmethod
    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        """Yield the differences between the recorded statistics and those of the counted rows."""


class Task(ABC):
    """What is done to the rows of a run: the settings in a plan, and everything that follows from them.

    A subclass is a frozen dataclass, and is registered in `TASKS` or as an entry point.
    """

    kind: ClassVar[str]
    """Name of the task in plans."""

    done: ClassVar[str]
    """Participle for the finished rows, for messages: `edited`."""

    statistics: ClassVar[type[Statistics]]
    """Kind of the statistics that are counted in each pass."""

    chooses_rows: ClassVar[bool] = False
    """Whether the settings determine which rows of the source the shards contain."""

    @property
    @abstractmethod
    def passes(self) -> tuple[Pass, ...]:
        """Passes in the order in which they are done; if none writes rows, the statistics are the only result."""

    def facts(self) -> dict[str, Any]:
        """Return the fields of the dataclass as JSON values, from which `from_facts` makes an equal task."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], path: str = "") -> Self:
        """Read the facts of an untrusted plan; the inverse of `facts`.

        Args:
            facts: JSON values.
            path: JSON path of the facts, for messages.

        Raises:
            UsageError: The facts are invalid; the message contains the JSON path of the problem.
        """
        return from_json(dict(facts), cls, path, complete=True)

    def hashed(self) -> dict[str, Any]:
        """Return the facts that determine the rows of a pass: part of the plan's hash."""
        return {"task": self.to_json()}

    def check(self, features: Features, texts: Texts) -> None:
        """Refuse a source that the task cannot process.

        Raises:
            SourceError: The task cannot process the source.
        """
        texts.check(features)

    @abstractmethod
    def output_features(self, features: Features, texts: Texts) -> Features:
        """Return the features of the output rows, given those of the source's rows."""

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """Return the task with everything pinned that can be pinned without loading a model.

        Args:
            machine: Kind of the machine that does the work, which determines dtypes; None means this machine.

        Raises:
            PriorError: A model cannot be found.
        """
        return self

    @abstractmethod
    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """Load the model.

        Returns:
            The same task, pinned and with resolved dtypes; and the loaded task.

        Raises:
            PriorError: The model cannot be loaded.
        """

    def check_loaded(self, planned: Task, own: Mapping[str, Mapping[str, str]]) -> None:  # noqa: B027 - no model, no check
        """Refuse to continue with a model, or code, that differs from the plan.

        Args:
            planned: The task of the plan; this one is as it was loaded here.
            own: What a plan contains about user code, see `own_facts`.

        Raises:
            PriorError: A model has changed since.
            RunError: User code has changed since.
        """

    def as_planned(self, planned: Task) -> Self:
        """Return the task, its model named as in a plan if both are the same model, such as a copy elsewhere."""
        return self

    @abstractmethod
    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """Return the check that verifies the rows of a shard.

        Args:
            texts: Selects the texts of a row.
            features: Features of the source.
        """

    def further(self, generations: int | None, score_result: bool) -> Self:
        """Return the task with further passes.

        Args:
            generations: Total number of generations; None leaves it unchanged.
            score_result: Whether to score the last generation.

        Raises:
            UsageError: The task has more generations already, or it has no generations.
        """
        if generations is not None or score_result:
            raise UsageError(
                f"rows that are {self.done} have no generations. Leave --generations and --score-result out."
            )
        return self

    def report(self, passes: Mapping[Pass, tuple[int, Statistics]]) -> dict[str, Any]:
        """Return what `status --json` reports on the passes that write rows.

        Args:
            passes: Number of finished shards and their statistics, by pass.
        """
        return {
            "passes": [
                {"name": pass_.name, "num_shards": count, **stats.summary()} for pass_, (count, stats) in passes.items()
            ]
        }

    @property
    def device(self) -> str:
        """Device of the model, as in `PriorConfig`."""
        return "auto"

    def on(self, device: str) -> Self:
        """Return the task on another device."""
        return self

    @property
    def is_light(self) -> bool:
        """Whether the task needs no model and loads instantly, so that a worker needs only one core."""
        return False

    @property
    def model(self) -> ModelName | None:
        """Model that the task needs; None if it needs none."""
        return None

    @property
    def revisions(self) -> dict[str, str]:
        """Revisions that pin the model, by name."""
        return {}

    @property
    def model_words(self) -> str:
        """Short description of the model, for the report on a plan."""
        return f"model {self.model.name}" if self.model else "no model"

    @property
    def token_words(self) -> str:
        """What `LoadedTask.sample` counts, for estimates."""
        return "tokens"

    @property
    def own_code(self) -> dict[str, str]:
        """User-defined classes by the setting that names them: code that a plan may require."""
        return {}

    @property
    def trust_remote_code(self) -> bool:
        """Whether the model's own remote code is executed."""
        return False

    def own_facts(self) -> dict[str, dict[str, str]]:
        """Return what pins user-defined classes, and their descriptions of themselves, by setting."""
        return {}

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """Facts that follow from others, such as the fingerprint of a model."""
        return ()

    def option(self, name: str) -> str | None:
        """Return the command line option for a fact such as `prior.revision`; None for the default name."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the facts with the kind, as in plans and messages."""
        return {"kind": self.kind, **self.facts()}

    @classmethod
    def from_json_value(cls, value: Any, path: str) -> Task:
        """Make a task from its value in a plan.

        Args:
            value: `kind` and the facts.
            path: JSON path of the value, for messages.

        Raises:
            UsageError: The task is not installed, or the facts are invalid.
        """
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise UsageError(f"{path} must be an object with a 'kind', not {in_json(value)}.")
        facts = {name: fact for name, fact in value.items() if name != "kind"}
        return task_class(value["kind"]).from_facts(facts, path)


@cache
def task_class(kind: str) -> type[Task]:
    """Return the class of a task.

    Raises:
        UsageError: No task of that name is installed.
    """
    found = TASKS
    if kind not in found:
        found = {entry.name: entry.value for entry in entry_points(group=GROUP)} | TASKS
    if kind not in found:
        raise UsageError(
            f"task {kind!r} is not known here.{did_you_mean(kind, found)} Install the package that brings it."
        )
    module, _, name = found[kind].partition(":")
    cls = getattr(import_module(module), name)
    if not issubclass(cls, Task):
        raise UsageError(f"task {kind!r} must be derived from {Task.__module__}.Task.")
    return cls
