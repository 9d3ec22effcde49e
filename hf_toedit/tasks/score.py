"""The task of scoring: one pass adds scores to each row, in a struct column; everything else is unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hf_toedit.checked import in_json
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.priors.names import ModelName
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import Consequence, LoadedTask, RowCheck, Task
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.registry import scorer_from_json, scorer_to_json
from hf_toedit.scorers.scorer import ScorerConfig
from hf_toedit.scorers.statistics import ScoreStats
from hf_toedit.scorers.without_model import WithoutModelConfig

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.config import Resources
    from hf_toedit.rows.texts import Texts

SCORES = Pass("scores", 1, "the scoring")


@dataclass(frozen=True)
class ScoreTask(Task):
    """Adds the numbers of a scorer to rows, such as `scores: {perplexity: {nll, num_tokens}}`.

    If the source already has a column of scores, they are kept, and those of another scorer are added to it.

    Attributes:
        scorer: Settings of the scorer.
        scores_column: The struct column, new or with earlier scores.
    """

    kind = "score"
    done = "scored"
    statistics = ScoreStats

    scores_alone: ClassVar[bool] = False
    """Whether only the scores are written, without the other columns."""

    scorer: ScorerConfig
    scores_column: str = "scores"

    def __post_init__(self) -> None:
        """Check the column name.

        Raises:
            UsageError: The name is empty.
        """
        if not self.scores_column.strip():
            raise UsageError("scores_column must have a name.")

    @property
    def passes(self) -> tuple[Pass, ...]:
        """See `Task.passes`."""
        return (SCORES,)

    def facts(self) -> dict[str, Any]:
        """See `Task.facts`."""
        return {"scorer": scorer_to_json(self.scorer), "run": {"scores_column": self.scores_column}}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], path: str = "") -> Self:
        """See `Task.from_facts`."""
        for name in ("scorer", "run"):
            if name not in facts:
                raise UsageError(f"{path} has no {name!r}.")
        if unknown := facts.keys() - {"scorer", "run"}:
            raise UsageError(f"{path} cannot have {min(unknown)!r}.")
        run = facts["run"]
        if not (isinstance(run, dict) and run.keys() == {"scores_column"} and isinstance(run["scores_column"], str)):
            raise UsageError(f"{path}.run must be an object with the string 'scores_column', not {in_json(run)}.")
        return cls(scorer_from_json(facts["scorer"], f"{path}.scorer"), run["scores_column"])

    def hashed(self) -> dict[str, Any]:
        """All facts except the device; see `Task.hashed`."""
        return {"task": without_device(self.to_json())}

    def check(self, features: Features, texts: Texts) -> None:
        """See `Task.check`."""
        texts.check(features)
        self.scorer.check(features)
        there = features.get(self.scores_column, {})
        if not isinstance(there, dict) or not all(isinstance(fields, dict) for fields in there.values()):
            raise SourceError(
                f"the source already has a column {self.scores_column!r}, which does not hold scores. Choose another "
                f"name with --scores-column."
            )
        if self.scorer.kind in there:
            raise SourceError(
                f"the source already has scores of {self.scorer.kind!r} in column {self.scores_column!r}. Choose "
                f"another column with --scores-column."
            )

    def output_features(self, features: Features, texts: Texts) -> Features:
        """See `Task.output_features`."""
        from datasets import Features, Value

        fields = {name: Value(dtype) for name, dtype in self.scorer.fields.items()}
        return Features(
            {**features, self.scores_column: {**features.get(self.scores_column, {}), self.scorer.kind: fields}}
        )

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """See `Task.resolved`."""
        return replace(self, scorer=self.scorer.resolved(machine))

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`."""
        from hf_toedit.tasks.score_rows import LoadedScore, ScoreColumn

        config, scorer = self.scorer.load(resources)
        column = ScoreColumn(self.scores_column, config.kind, config.fields, self.scores_alone)
        return replace(self, scorer=config), LoadedScore(scorer, column)

    def check_loaded(self, planned: Task, own: Mapping[str, Mapping[str, str]]) -> None:
        """See `Task.check_loaded`."""
        assert isinstance(planned, ScoreTask)
        self.scorer.check_planned(planned.scorer)  # scorers of the same kind, as their hashes agree

    def as_planned(self, planned: Task) -> Self:
        """See `Task.as_planned`."""
        if isinstance(planned, ScoreTask) and type(planned.scorer) is type(self.scorer):
            return replace(self, scorer=self.scorer.as_planned(planned.scorer))
        return self

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`."""
        from hf_toedit.tasks.score_check import ScoreCheck

        return ScoreCheck(self.scorer.kind, self.scorer.fields, self.scores_column)

    @property
    def is_light(self) -> bool:
        """See `Task.is_light`."""
        return isinstance(self.scorer, WithoutModelConfig) and not self.scorer.own_code

    @property
    def device(self) -> str:
        """See `Task.device`."""
        return self.scorer.device

    def on(self, device: str) -> Self:
        """See `Task.on`."""
        return replace(self, scorer=self.scorer.on(device))

    @property
    def model(self) -> ModelName | None:
        """See `Task.model`."""
        return self.scorer.model_name

    @property
    def revisions(self) -> dict[str, str]:
        """See `Task.revisions`."""
        kind = "prior" if self.scorer.kind == PerplexityConfig.kind else "scorer"
        return {f"{kind}_revision": self.scorer.revision}

    @property
    def own_code(self) -> dict[str, str]:
        """See `Task.own_code`."""
        return self.scorer.own_code

    @property
    def trust_remote_code(self) -> bool:
        """See `Task.trust_remote_code`."""
        return self.scorer.trust_remote_code

    def option(self, name: str) -> str | None:
        """See `Task.option`."""
        last = name.rpartition(".")[2].replace("_", "-")
        return "--prior-revision" if name == "scorer.prior.revision" else f"--{last}"

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """See `Task.consequences`."""
        return ((tuple(f"scorer.{name}" for name in self.scorer.pins), ("scorer.",), "the files of the model differ"),)


def without_device(value: Any) -> Any:
    """Return JSON values without the device of a model, which does not affect results."""
    if isinstance(value, dict):
        return {name: without_device(inner) for name, inner in value.items() if name != "device"}
    return value
