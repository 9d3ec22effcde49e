"""Card data specific to edited datasets. No wording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, cast

from hf_toedit.cards.data import CardData, data_files
from hf_toedit.cards.edit_examples import Example, Place, Rows
from hf_toedit.runs.plan import Plan
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import RESULT, EditTask, edit_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from hf_toedit.runs.store import RunFolder


class ReadStats(NamedTuple):
    """Statistics of one reading of the texts by the prior.

    Attributes:
        after: Number of edit generations before the reading; 0 is the source.
        stats: Statistics of the reading.
    """

    after: int
    stats: EditStats


@dataclass(frozen=True)
class EditCardData(CardData):
    """A finished edit run, with the data that its card needs.

    Attributes:
        result: Statistics of a final reading of the last generation; None if there was none.
        examples: Edited texts, followed by one unedited text.
        places: Single edits, of every kind that was found.
    """

    result: EditStats | None = None
    examples: tuple[Example, ...] = ()
    places: tuple[Place, ...] = ()

    @classmethod
    def from_run(cls, plan: Plan, folder: RunFolder, *, repo_id: str | None = None, prefix: str = "") -> Self:
        """Read a finished run; reads at most a few row groups, whatever its size; see `CardData.from_run`."""
        facts = cls.facts(plan, folder, repo_id, prefix)
        last = plan.passes[-1]
        result = cast("EditStats", folder.merged_stats(plan, last)) if last.name == RESULT else None
        rows = Rows.read(plan, folder, data_files(plan, folder, plan.data_passes[-1]))
        return cls(**facts, result=result, examples=rows.examples, places=rows.places)

    @property
    def task(self) -> EditTask:
        """The edit task."""
        return edit_of(self.plan)

    @cached_property
    def generations(self) -> list[EditStats]:
        """Statistics of each generation over all splits."""
        return [cast("EditStats", stats) for stats in self.totals]

    @property
    def by_split(self) -> list[dict[str, EditStats]]:
        """Statistics of each generation, by split."""
        return [{split: cast("EditStats", stats) for split, stats in found.items()} for found in self.stats]

    @property
    def has_kinds(self) -> bool:
        """Whether tokens were changed or deleted, and the kinds of all of them are known."""
        edited = [stats for stats in self.generations if stats.num_changed or stats.num_dropped]
        return bool(edited) and all(stats.kinds for stats in edited)

    @property
    def is_scored(self) -> bool:
        """Whether any token has a probability."""
        return self.generations[0].num_scored > 0

    @property
    def has_decay(self) -> bool:
        """Whether later generations can be compared with a first generation that selected tokens."""
        return len(self.generations) > 1 and self.generations[0].num_selected > 0

    @property
    def readings(self) -> list[ReadStats]:
        """Readings of the source and, if it differs, of the text that was read last."""
        last = len(self.generations)
        later = ReadStats(last - 1, self.generations[-1]) if self.result is None else ReadStats(last, self.result)
        both = [ReadStats(0, self.generations[0]), *([later] if later.after else [])]
        return [reading for reading in both if reading.stats.num_scored]
