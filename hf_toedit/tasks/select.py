"""The task of selecting: rows that the plan names are written as they are. Which ones, `select` has decided before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hf_toedit.mergeable import Count, Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import Consequence
from hf_toedit.scorers.registry import scorer_from_json
from hf_toedit.selection.breakdown import Breakdown
from hf_toedit.tasks.map import ChosenRowsTask
from hf_toedit.tasks.score import without_device

if TYPE_CHECKING:
    pass


SELECTED = Pass("selected", 1, "the selection")


@dataclass(frozen=True)
class SelectFigures:
    """What came of a selection.

    Attributes:
        num_rows: rows of the source.
        num_scored: those that have a score.
        num_kept: those that are kept.
        quantiles: of the scores of all rows, by fraction; empty where there are none.
        kept_quantiles: of those of the rows that are kept.
        truth: how well right rows were told from wrong ones, where that is known of some; else None.
    """

    num_rows: Count
    num_scored: Count
    num_kept: Count
    quantiles: dict[str, float]
    kept_quantiles: dict[str, float]
    truth: Breakdown | None = None


@dataclass(frozen=True)
class SelectTask(ChosenRowsTask):
    """Rows are written as they are; the shards of the plan say which of the source's.

    Attributes:
        by: the settings of the scorer, as of a run of scores.
        score: the field of its scores that rows were selected by.
        choice: how many rows were kept, and which, see `selection.Choice`.
        figures: what came of it, for the card.
        truth: the settings of the verifier that says which rows are right; None where nobody does.
    """

    kind = "select"
    done = "selected"

    by: dict[str, Any]
    score: str
    choice: dict[str, Any]
    figures: SelectFigures
    truth: dict[str, Any] | None = None

    @property
    def passes(self) -> tuple[Pass, ...]:
        """See `Task.passes`."""
        return (SELECTED,)

    def hashed(self) -> dict[str, Any]:
        """All but the device of the model; see `Task.hashed`."""
        return {"task": without_device(self.to_json())}

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """See `Task.consequences`."""
        causes = ("by.", "truth", "choice.", "score", "source.", "source_revision", "files")
        pins = tuple(f"by.{name}" for name in scorer_from_json(self.by, "by").pins)
        return (
            (pins, ("by.scorer",), "what the scores were made by differs"),
            (("figures.",), causes, "the scores of the rows differ"),
        )

    def report(self, passes: Mapping[Pass, tuple[int, Statistics]]) -> dict[str, Any]:
        """See `Task.report`."""
        figures = asdict(self.figures)
        if self.figures.truth is not None:
            figures["truth"] = self.figures.truth.to_json()
        return {**super().report(passes), "figures": figures}

    def option(self, name: str) -> str | None:
        """See `Task.option`."""
        return "--by" if name == "by.scorer" else "--" + name.rpartition(".")[2].replace("_", "-")
