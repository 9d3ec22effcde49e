"""The task of editing: each generation is a pass that edits the rows of the previous one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_toedit.checked import checked
from hf_toedit.config import EditConfig, PriorConfig, Resources, RunConfig
from hf_toedit.errors import RunError, UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.priors.names import check_prior
from hf_toedit.priors.registry import load_pinned
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.task import LoadedTask, RowCheck, Task
from hf_toedit.stats import EditStats, generation_figures
from hf_toedit.tasks.with_prior import TaskWithPrior

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.rows.texts import Texts

RESULT = "result"
"""Name of the pass that scores the last generation."""


@dataclass(frozen=True)
class EditTask(TaskWithPrior):
    """Edits texts with a prior, generation by generation.

    Attributes:
        prior: Settings of the prior.
        edit: How tokens are edited.
        run: Generations and log column.
        prior_revision: Revision or fingerprint that pins the prior; empty until it is resolved.
    """

    kind = "edit"
    done = "edited"
    statistics = EditStats

    prior: PriorConfig
    edit: EditConfig
    run: RunConfig
    prior_revision: str = ""

    @property
    def generations(self) -> range:
        """Numbers of the generations, starting at 1."""
        return range(1, self.run.generations + 1)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """Generations, and the scoring of the result if requested; see `Task.passes`."""
        found = [generation_pass(number) for number in self.generations]
        if self.run.score_result:
            found.append(Pass(RESULT, len(found) + 1, "the reading of the result", found[-1], writes_rows=False))
        return tuple(found)

    def facts(self) -> dict[str, Any]:
        """See `Task.facts`."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        facts |= {"edit": self.edit.to_json(), "run": self.run.to_json()}
        return {name: facts[name] for name in ("prior", "prior_revision", "edit", "run")}

    def hashed(self) -> dict[str, Any]:
        """Facts as hashed in plans of format 1, whose runs can be continued; see `Task.hashed`."""
        facts = self.facts()
        facts["prior"].pop("device")
        for name in ("generations", "score_result"):
            facts["run"].pop(name)
        return facts

    def check(self, features: Features, texts: Texts) -> None:
        """See `Task.check`."""
        texts.check(features, self.run.edit_log_column)
        if self.run.flat_columns:
            from hf_toedit.rows.flat import check_flat

            check_flat(features, self.run.edit_log_column or "")

    def output_features(self, features: Features, texts: Texts) -> Features:
        """Features of the source, followed by those of the edit log; see `Task.output_features`."""
        from hf_toedit.editing.result import log_counts
        from hf_toedit.rows.rows import output_features

        log_column, flat = self.run.edit_log_column, bool(self.run.flat_columns)
        return output_features(features, texts, log_column, log_counts(self.edit), flat=flat)

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`."""
        from hf_toedit.editing.editor import Editor
        from hf_toedit.tasks.edit_rows import LoadedEdit

        config, revision, prior = load_pinned(self.prior, resources)
        loaded = LoadedEdit(Editor(prior, self.edit), self.run.edit_log_column, flat=bool(self.run.flat_columns))
        return replace(self, prior=config, prior_revision=revision), loaded

    def check_loaded(self, planned: Task, own: Mapping[str, Mapping[str, str]]) -> None:
        """See `Task.check_loaded`."""
        from hf_toedit.editing.selection import own_revisions

        assert isinstance(planned, EditTask)
        for setting, revision in own_revisions(planned.edit).items():
            if setting in own and own[setting].get("revision") != revision:
                raise RunError(
                    f"--{setting} {planned.edit.own[setting]!r} is not the one that was planned: its code has changed. "
                    f"Restore the old code, or plan a new run."
                )
        check_prior(self.prior, self.prior_revision, planned.prior, planned.prior_revision)

    def as_planned(self, planned: Task) -> Self:
        """See `Task.as_planned`."""
        same = super().as_planned(planned)
        if isinstance(planned, EditTask) and self.run.flat_columns is None:
            same = replace(same, run=replace(self.run, flat_columns=planned.run.flat_columns))
        return same

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`."""
        from hf_toedit.editing.result import log_counts
        from hf_toedit.tasks.edit_check import EditCheck

        return EditCheck(texts, self.run.edit_log_column, log_counts(self.edit))

    def further(self, generations: int | None, score_result: bool) -> Self:
        """See `Task.further`."""
        generations = self.run.generations if generations is None else checked(generations, int, "generations")
        if generations < self.run.generations:
            raise UsageError(f"the run has {self.run.generations} generations already; --generations adds to them.")
        run = replace(self.run, generations=generations, score_result=score_result or self.run.score_result)
        return replace(self, run=run)

    def report(self, passes: Mapping[Pass, tuple[int, Statistics]]) -> dict[str, Any]:
        """The report, with decay and distance from the source for each generation; see `Task.report`."""
        generations = [stats for _, stats in passes.values() if isinstance(stats, EditStats)]
        counts = [count for count, _ in passes.values()]
        return {
            "generations": [
                {"num_shards": count, **stats.summary(), **figures.to_json()}
                for count, stats, figures in zip(counts, generations, generation_figures(generations), strict=True)
            ]
        }

    @property
    def own_code(self) -> dict[str, str]:
        """See `Task.own_code`."""
        return self.edit.own

    def own_facts(self) -> dict[str, dict[str, str]]:
        """See `Task.own_facts`."""
        from hf_toedit.editing.selection import own_facts

        return own_facts(self.edit) if self.edit.own else {}


def generation_pass(number: int) -> Pass:
    """Return the pass of a generation."""
    before = Pass(f"gen{number - 1}", number - 1, f"generation {number - 1}") if number > 1 else None
    return Pass(f"gen{number}", number, f"generation {number}", before)


def edit_of(plan: Plan) -> EditTask:
    """Return the task of a run that edits rows.

    Raises:
        UsageError: The run has a task of another kind.
    """
    if not isinstance(plan.task, EditTask):
        raise UsageError(
            f"this needs a run whose rows are edited, and those of this run are {plan.task.done}. Name another run."
        )
    return plan.task
