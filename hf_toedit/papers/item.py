"""What `reproduce` measures again: a table, figure or theorem of a paper, and what came out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

Scale = Literal["tiny", "paper"]
"""`tiny` takes minutes on two cores, with text that comes with the package or is generated; `paper` is the paper's
setting, or as near to it as the paper says."""

Holds = Literal["yes", "no", "not decided"]

Cell = str | int | float | None
"""A number, or words; None where the paper has no number."""


@dataclass(frozen=True)
class Paper:
    """A paper.

    Attributes:
        key: Before the names of its items where both papers have one of that name.
        title: Its title.
        arxiv: Its number.
    """

    key: str
    title: str
    arxiv: str


TOEDIT = Paper("toedit", "How to Synthesize Text Data without Model Collapse?", "2412.14689")
REINFORCEMENT = Paper(
    "reinforcement", "Beyond Model Collapse: Scaling Up with Synthesized Data Requires Reinforcement", "2406.07515"
)


@dataclass(frozen=True)
class Table:
    """Numbers of ours beside those of the paper.

    Attributes:
        title: What is in it.
        columns: Headings; `paper` and `theory` are among them where these have such numbers.
        rows: As many cells each.
        labels: How many of the first columns are words.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1


@dataclass(frozen=True)
class Line:
    """A line, or points, of a plot.

    Attributes:
        name: In the legend.
        x: Its places.
        y: Its values.
        error: Half the height of the interval at each place; None for none.
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
        name: Of its file, without an ending.
        words: What it shows, for those who cannot see it.
        x_label: Of the horizontal axis.
        y_label: Of the vertical axis.
        lines: What is drawn.
        x_log: Whether the horizontal axis is logarithmic.
        y_log: The same of the vertical one.
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
    """What came out.

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
    """Where and how an item works.

    Attributes:
        seed: Of all that is drawn.
        folder: For what is kept between two tries: runs, models. The same command goes on from there.
        progress: Whether bars are shown.
    """

    seed: int
    folder: Path
    progress: bool = False


class Item(ABC):
    """A table, figure or theorem that can be measured again; a subclass is made without arguments.

    Attributes:
        paper: That has it.
        name: The paper's own.
        claim: What it says, in a sentence.
        needs: What it takes beside the package, in words; empty for nothing.
        minutes: How long `tiny` takes on two cores.
        differs: How the setting of `tiny` differs from the paper's.
    """

    paper: ClassVar[Paper]
    name: ClassVar[str]
    claim: ClassVar[str]
    needs: ClassVar[str] = ""
    minutes: ClassVar[float]
    differs: ClassVar[str]

    @abstractmethod
    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """What decides the outcome, as JSON values."""

    @abstractmethod
    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """Measure it.

        Args:
            settings: Those of a scale.
            work: Where and how.
        """

    @property
    def title(self) -> str:
        """Its name with the key of its paper: `toedit:Figure 2`."""
        return f"{self.paper.key}:{self.name}"
