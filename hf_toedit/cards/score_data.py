"""Card data specific to scores. No wording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

from hf_toedit.cards.data import CardData
from hf_toedit.errors import UsageError
from hf_toedit.runs.plan import Plan
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.statistics import ScoreStats
from hf_toedit.tasks.score import ScoreTask


class ScoreField(NamedTuple):
    """A field of the scores.

    Attributes:
        number: Number of the field, from 1, in the order of the scorer.
        name: Name of the field.
        is_nll: Whether its values are mean negative log-likelihoods, whose exponentials are perplexities.
        is_count: Whether its values are numbers of tokens.
        is_whole: Whether its values are integers.
        values: Distribution over all rows.
        by_split: Distribution over the rows of each split.
    """

    number: int
    name: str
    is_nll: bool
    is_count: bool
    is_whole: bool
    values: Distribution
    by_split: dict[str, Distribution]


@dataclass(frozen=True)
class ScoreCardData(CardData):
    """A finished score run, with the data that its card needs."""

    @property
    def task(self) -> ScoreTask:
        """The score task."""
        return score_of(self.plan)

    @property
    def by_split(self) -> dict[str, ScoreStats]:
        """Statistics of each split."""
        return {split: cast("ScoreStats", stats) for split, stats in self.stats[0].items()}

    @cached_property
    def scores(self) -> ScoreStats:
        """Statistics over all splits."""
        return cast("ScoreStats", self.totals[0])

    @cached_property
    def score_fields(self) -> list[ScoreField]:
        """All fields of the scores."""
        scorer = self.task.scorer
        is_perplexity = isinstance(scorer, PerplexityConfig)
        return [
            ScoreField(
                number,
                name,
                is_nll=is_perplexity and name == "nll",
                is_count=is_perplexity and name == "num_tokens",
                is_whole=dtype.startswith("int"),
                values=self.scores.values.get(name, Distribution()),
                by_split={split: stats.values.get(name, Distribution()) for split, stats in self.by_split.items()},
            )
            for number, (name, dtype) in enumerate(scorer.fields.items(), start=1)
        ]

    @property
    def known_fields(self) -> list[ScoreField]:
        """Fields with values that are not counts; the first one is the most important."""
        return [field for field in self.score_fields if field.values.num_values and not field.is_count]


def score_of(plan: Plan) -> ScoreTask:
    """Return the task of a score run.

    Raises:
        UsageError: The run has another task.
    """
    if not isinstance(plan.task, ScoreTask):
        raise UsageError(f"this needs a run whose rows are scored, and those of this run are {plan.task.done}.")
    return plan.task
