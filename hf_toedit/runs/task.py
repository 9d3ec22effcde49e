"""The `Task` protocol: what differs between editing, scoring and whatever else is done to the rows of a run.

Plan, shards, completion, resume, engines, storage, status, verification, push and pull know of a task only what stands
here. Tasks are found by name in a registry; those of other packages are entry points of the group `hf_toedit.tasks`.
A plan may come from anyone, so it names a task that is installed here, and never code.
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
"""Names, as plans have them, and classes."""

GROUP = "hf_toedit.tasks"
"""Entry points of other packages: the name of a task, and its class."""

Consequence = tuple[tuple[str, ...], tuple[str, ...], str]
"""Facts that follow from others: how their names begin, how the names of the others begin, and what is said of them."""


class LoadedTask(ABC):
    """A task with its model, loaded once in each worker."""

    concurrency: int = 1
    """Threads in which `read` may usefully be called at once."""

    @abstractmethod
    def process(
        self, texts: Texts, tables: Iterable[pa.Table], pass_: Pass, known: Callable[[Rows], Kept | None]
    ) -> Iterator[Batch]:
        """Do it to some rows, in order, batch by batch; a row must not depend on the batch that it is in.

        Args:
            texts: which texts of the rows.
            tables: the rows, of any number each.
            pass_: which pass.
            known: what was made of some rows, if it is known; called in order.
        """

    @abstractmethod
    def sample(self, texts: Texts, table: pa.Table) -> tuple[np.ndarray, list[Document]]:
        """Tokenize rows, to estimate how many tokens there are and how fast they are read.

        Returns:
            int64 `[rows]`, tokens of each row's texts, as statistics count them; and what the model reads of them.
        """

    @abstractmethod
    def read(self, batches: Sequence[Sequence[Document]]) -> None:
        """Have the model read some documents, each batch in a thread of its own, and forget what it says of them."""


class RowCheck(ABC):
    """Holds the rows of one shard against its source and its statistics, portion by portion, pass by pass."""

    @abstractmethod
    def rows(
        self, pass_: Pass, table: pa.Table, before: pa.Table | None, source: pa.Table | None, first: int
    ) -> Iterator[str]:
        """Look at a portion of the rows of a pass.

        Args:
            pass_: which pass.
            table: its rows.
            before: the same rows as the pass read them; None where they are not at hand.
            source: the same rows of the source; None where they are not at hand.
            first: the number of the first one in its shard.

        Yields:
            What is wrong, and where. Where nothing is, the rows are counted.
        """

    @abstractmethod
    def statistics(self, pass_: Pass, recorded: Statistics) -> Iterator[str]:
        """What differs between the statistics that were written and those of the rows that were counted."""


class Task(ABC):
    """What is done to the rows of a run: settings that a plan holds, and what follows from them.

    A subclass is a frozen dataclass, and is registered in `TASKS` or as an entry point.
    """

    kind: ClassVar[str]
    """Its name in plans."""

    done: ClassVar[str]
    """What the rows are in the end, for messages: `edited`."""

    statistics: ClassVar[type[Statistics]]
    """What is counted in each pass."""

    chooses_rows: ClassVar[bool] = False
    """Whether its settings decide which rows of the source the shards hold."""

    @property
    @abstractmethod
    def passes(self) -> tuple[Pass, ...]:
        """In the order in which they are done; where none writes rows, the statistics are all that is made."""

    def facts(self) -> dict[str, Any]:
        """All settings as JSON values, from which `from_facts` makes an equal task: the fields of the dataclass."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], path: str = "") -> Self:
        """Read what `facts` gave; a plan may come from anyone.

        Args:
            facts: as JSON values.
            path: of them, for messages.

        Raises:
            UsageError: It did not; the JSON path of what is wrong is named.
        """
        return from_json(dict(facts), cls, path, complete=True)

    def hashed(self) -> dict[str, Any]:
        """The facts that decide what the rows of a pass are: part of the plan's hash."""
        return {"task": self.to_json()}

    def check(self, features: Features, texts: Texts) -> None:
        """Refuse a source to which it cannot be done.

        Raises:
            SourceError: it cannot.
        """
        texts.check(features)

    @abstractmethod
    def output_features(self, features: Features, texts: Texts) -> Features:
        """Of the rows that are written, from those of the source's rows."""

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """The same with all that can be pinned without loading a model.

        Args:
            machine: that the work is done on, whose kind decides dtypes; None is this one.

        Raises:
            PriorError: a model cannot be found.
        """
        return self

    @abstractmethod
    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """Load its model.

        Returns:
            The same task, pinned, dtypes resolved; and what does the work.

        Raises:
            PriorError: the model cannot be loaded.
        """

    def check_loaded(self, planned: Task, own: Mapping[str, Mapping[str, str]]) -> None:  # noqa: B027 - no model, no check
        """Refuse to go on with another model, or code, than was planned.

        Args:
            planned: the task of the plan; this one is as it was loaded here.
            own: what a plan holds of code of the user's own, see `own_facts`.

        Raises:
            PriorError: a model has changed since.
            RunError: code of the user's own has.
        """

    def as_planned(self, planned: Task) -> Self:
        """The same, its model named as in a plan where it is the same model: a copy elsewhere, for one."""
        return self

    @abstractmethod
    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """What verifies the rows of a shard.

        Args:
            texts: which texts of a row.
            features: of the source.
        """

    def further(self, generations: int | None, score_result: bool) -> Self:
        """The same with further passes.

        Args:
            generations: how many there are to be; None leaves them as they are.
            score_result: read the last generation once more.

        Raises:
            UsageError: it has more generations already, or none at all.
        """
        if generations is not None or score_result:
            raise UsageError(
                f"rows that are {self.done} have no generations. Leave --generations and --score-result out."
            )
        return self

    def report(self, passes: Mapping[Pass, tuple[int, Statistics]]) -> dict[str, Any]:
        """What `status --json` tells of the passes that write rows.

        Args:
            passes: shards that are done in each, and their statistics.
        """
        return {
            "passes": [
                {"name": pass_.name, "num_shards": count, **stats.summary()} for pass_, (count, stats) in passes.items()
            ]
        }

    @property
    def device(self) -> str:
        """Where its model runs, as `PriorConfig` has it."""
        return "auto"

    def on(self, device: str) -> Self:
        """The same on another device."""
        return self

    @property
    def is_light(self) -> bool:
        """Whether it needs no model, and loads in no time: then a core is enough for a worker."""
        return False

    @property
    def model(self) -> ModelName | None:
        """The model that it needs; None for none."""
        return None

    @property
    def revisions(self) -> dict[str, str]:
        """What pins its model, by name."""
        return {}

    @property
    def model_words(self) -> str:
        """Its model in a few words, for the report on a plan."""
        return f"model {self.model.name}" if self.model else "no model"

    @property
    def token_words(self) -> str:
        """What is counted by `LoadedTask.sample`, for estimates."""
        return "tokens"

    @property
    def own_code(self) -> dict[str, str]:
        """Settings that name a class of the user's own, with its name: code that a plan may bring along."""
        return {}

    @property
    def trust_remote_code(self) -> bool:
        """Whether its model brings code that is run."""
        return False

    def own_facts(self) -> dict[str, dict[str, str]]:
        """What pins classes of the user's own, and what they say of themselves, by setting."""
        return {}

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """Those of its facts that follow from others, such as the fingerprint of a model."""
        return ()

    def option(self, name: str) -> str | None:
        """The word on the command line for one of its facts, such as `prior.revision`; None for the usual one."""
        return None

    def to_json(self) -> dict[str, Any]:
        """The facts with the kind, as plans and messages have them."""
        return {"kind": self.kind, **self.facts()}

    @classmethod
    def from_json_value(cls, value: Any, path: str) -> Task:
        """A task from what a plan holds.

        Args:
            value: `kind`, and the facts.
            path: of the value, for messages.

        Raises:
            UsageError: There is no such task here, or these are not its facts.
        """
        if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
            raise UsageError(f"{path} must be an object with a 'kind', not {in_json(value)}.")
        facts = {name: fact for name, fact in value.items() if name != "kind"}
        return task_class(value["kind"]).from_facts(facts, path)


@cache
def task_class(kind: str) -> type[Task]:
    """The class of a task.

    Raises:
        UsageError: There is none of that name here.
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
