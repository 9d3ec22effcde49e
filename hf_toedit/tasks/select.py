"""The task of selection: write the rows that the plan selects, unchanged. `select` makes the selection."""

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
    """Figures of a selection.

    Attributes:
        num_rows: Rows of the source.
        num_scored: Rows with a score.
        num_kept: Selected rows.
        quantiles: Quantiles of the scores of all rows, by fraction; empty if there are none.
        kept_quantiles: Quantiles of the scores of the selected rows.
        truth: How well the selection separates right rows from wrong ones, if that is known for some rows; else None.
    """

    num_rows: Count
    num_scored: Count
    num_kept: Count
    quantiles: dict[str, float]
    kept_quantiles: dict[str, float]
    truth: Breakdown | None = None


@dataclass(frozen=True)
class SelectTask(ChosenRowsTask):
    """Writes selected rows unchanged; the shards of the plan define the selection.

    Attributes:
        by: Settings of the scorer, as in a run of scores.
        score: Score field by which rows were selected.
        choice: How many rows were selected, and which, see `selection.Choice`.
        figures: Figures of the selection, for the card.
        truth: Settings of the verifier that determines which rows are right; None if there is none.
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
        """All facts except the device of the model; see `Task.hashed`."""
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
