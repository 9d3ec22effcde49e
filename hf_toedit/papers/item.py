"""The items of `reproduce`: a table, figure or theorem of a paper, and its outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

Scale = Literal["tiny", "paper"]
"""Scale of a reproduction.

`tiny` takes minutes on two cores, with bundled or generated text; `paper` is the paper's setup, or as close to it as
the
paper specifies.
"""

Holds = Literal["yes", "no", "not decided"]

Cell = str | int | float | None
"""A number or words; None if the paper has no number."""


@dataclass(frozen=True)
class Paper:
    """A paper.

    Attributes:
        key: Prefix of item names that occur in both papers.
        title: Title of the paper.
        arxiv: Its arXiv number.
        latest: Its latest version on arXiv, which names some items otherwise; see `Item.latest`.
    """

    key: str
    title: str
    arxiv: str
    latest: int


TOEDIT = Paper("toedit", "How to Synthesize Text Data without Model Collapse?", "2412.14689", 3)
REINFORCEMENT = Paper(
    "reinforcement", "Beyond Model Collapse: Scaling Up with Synthesized Data Requires Reinforcement", "2406.07515", 2
)


@dataclass(frozen=True)
class Table:
    """Our numbers beside those of the paper.

    Attributes:
        title: Title of the table.
        columns: Headings; including `paper` and `theory` if these have such numbers.
        rows: Rows, with one cell per column.
        labels: Number of leading columns that contain words.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1


@dataclass(frozen=True)
class Line:
    """A line, or points, of a plot.

    Attributes:
        name: Name in the legend.
        x: Positions.
        y: Values.
        error: Half the height of the interval at each position; None for none.
        style: `line`, `dashed` or `points`.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None
    style: Literal["line", "dashed", "points"] = "line"


@dataclass(frozen=True)
class Plot:
    """A picture in the form of the paper's.

    Attributes:
        name: Name of its file, without the extension.
        words: Alternative text.
        x_label: Label of the horizontal axis.
        y_label: Label of the vertical axis.
        lines: The lines to draw.
        x_log: Whether the horizontal axis is logarithmic.
        y_log: Whether the vertical axis is logarithmic.
    """

    name: str
    words: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_log: bool = False
    y_log: bool = False


@dataclass(frozen=True)
class Outcome:
    """The outcome of a reproduction.

    Attributes:
        holds: Whether the claim holds here.
        reason: Why, in a sentence with numbers.
        tables: Our numbers beside the paper's.
        plots: Pictures.
        figures: More numbers by name, for `report.json`.
    """

    holds: Holds
    reason: str
    tables: Sequence[Table]
    plots: Sequence[Plot] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """The environment of an item.

    Attributes:
        seed: Random seed.
        folder: Folder for runs and models; the same command continues with them.
        progress: Whether progress bars are shown.
        workers: Number of worker processes of runs; see `edit`.
    """

    seed: int
    folder: Path
    progress: bool = False
    workers: int | Literal["auto"] = "auto"

    @property
    def of_runs(self) -> dict[str, Any]:
        """Keyword arguments of `edit` and of all other runs."""
        return {"seed": self.seed, "workers": self.workers, "progress": self.progress}


class Item(ABC):
    """A table, figure or theorem that can be reproduced; a subclass is constructed without arguments.

    Attributes:
        paper: Its paper.
        name: Its name in the paper.
        latest: Its name in the latest version of the paper; empty if that is the same.
        claim: What it states, in a sentence.
        needs: Requirements besides the package, in words; empty for none.
        minutes: Duration of `tiny` on two cores.
        differs: How the setup of `tiny` differs from the paper's.
    """

    paper: ClassVar[Paper]
    name: ClassVar[str]
    latest: ClassVar[str] = ""
    claim: ClassVar[str]
    needs: ClassVar[str] = ""
    minutes: ClassVar[float]
    differs: ClassVar[str]

    @abstractmethod
    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """Return the settings that determine the outcome, as JSON values."""

    @abstractmethod
    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """Reproduce the item.

        Args:
            settings: Settings of a scale.
            work: Environment of the item.
        """

    @property
    def title(self) -> str:
        """Its name with the key of its paper: `toedit:Figure 2`."""
        return f"{self.paper.key}:{self.name}"

    @property
    def renamed(self) -> str:
        """Its name in the latest version of its paper, in words; empty if that is the same."""
        return f"{self.latest} in version {self.paper.latest}" if self.latest else ""
