"""What the card of an edited dataset tells beside what every card does. No wording."""

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
    """Texts as the prior read them at one time.

    Attributes:
        after: generations of edits behind them; 0 is the source.
        stats: of that reading.
    """

    after: int
    stats: EditStats


@dataclass(frozen=True)
class EditCardData(CardData):
    """A finished run of edits, as its card needs it.

    Attributes:
        result: statistics of the last generation read once more; None where it was not.
        examples: edited texts, then one that is not.
        places: single edits, of every kind that was found.
    """

    result: EditStats | None = None
    examples: tuple[Example, ...] = ()
    places: tuple[Place, ...] = ()

    @classmethod
    def from_run(cls, plan: Plan, folder: RunFolder, *, repo_id: str | None = None, prefix: str = "") -> Self:
        """Read a finished run; a few row groups of its rows at most, however large it is; see `CardData.from_run`."""
        facts = cls.facts(plan, folder, repo_id, prefix)
        last = plan.passes[-1]
        result = cast("EditStats", folder.merged_stats(plan, last)) if last.name == RESULT else None
        rows = Rows.read(plan, folder, data_files(plan, folder, plan.data_passes[-1]))
        return cls(**facts, result=result, examples=rows.examples, places=rows.places)

    @property
    def task(self) -> EditTask:
        """How it was edited."""
        return edit_of(self.plan)

    @cached_property
    def generations(self) -> list[EditStats]:
        """Statistics of each generation over all splits."""
        return [cast("EditStats", stats) for stats in self.totals]

    @property
    def by_split(self) -> list[dict[str, EditStats]]:
        """The same, by split."""
        return [{split: cast("EditStats", stats) for split, stats in found.items()} for found in self.stats]

    @property
    def has_kinds(self) -> bool:
        """Whether any token was changed or deleted, and the kinds of all of them are known."""
        edited = [stats for stats in self.generations if stats.num_changed or stats.num_dropped]
        return bool(edited) and all(stats.kinds for stats in edited)

    @property
    def is_scored(self) -> bool:
        """Whether any token has a probability."""
        return self.generations[0].num_scored > 0

    @property
    def has_decay(self) -> bool:
        """Whether there is a first generation to hold further ones against."""
        return len(self.generations) > 1 and self.generations[0].num_selected > 0

    @property
    def readings(self) -> list[ReadStats]:
        """The source as it was read, and behind it what was read last, where that is something else."""
        last = len(self.generations)
        later = ReadStats(last - 1, self.generations[-1]) if self.result is None else ReadStats(last, self.result)
        both = [ReadStats(0, self.generations[0]), *([later] if later.after else [])]
        return [reading for reading in both if reading.stats.num_scored]
