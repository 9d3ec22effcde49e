"""What the card of an edited dataset tells beside what every card does. No wording."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hf_toedit.cards.data import CardData, DataFile, data_files
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.runs.plan import Plan
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import RESULT, EditTask, edit_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from hf_toedit.runs.store import RunFolder

_EDITED_EXAMPLES = 3
_GROUPS_LOOKED_AT = 8
"""Row groups that are read, at most, to find examples."""


class Example(NamedTuple):
    """A text of the last generation.

    Attributes:
        split: of its row.
        row: its number in the split.
        path: of the text in the row; None where a row holds one text.
        table: the text and its differences from the source.
    """

    split: str
    row: int
    path: str | None
    table: PieceTable


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
    """

    result: EditStats | None = None
    examples: tuple[Example, ...] = ()

    @classmethod
    def from_run(cls, plan: Plan, folder: RunFolder, *, repo_id: str | None = None, prefix: str = "") -> Self:
        """Read a finished run; a few row groups of its rows at most, however large it is; see `CardData.from_run`."""
        facts = cls.facts(plan, folder, repo_id, prefix)
        last = plan.passes[-1]
        result = cast("EditStats", folder.merged_stats(plan, last)) if last.name == RESULT else None
        files = data_files(plan, folder, plan.data_passes[-1])
        return cls(
            **facts,
            result=result,
            examples=tuple(_examples(plan, folder, files)),
        )

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


def _examples(plan: Plan, folder: RunFolder, files: list[DataFile]) -> Iterator[Example]:
    """Edited texts of the last generation and one that is not edited, from row groups that the seed chooses."""
    edited: list[Example] = []
    unedited: list[Example] = []
    draw = random.Random(edit_of(plan).edit.seed)
    for group in _row_groups(plan, folder, files, draw):
        found = list(group)
        for kept, wanted, kind in ((edited, _EDITED_EXAMPLES, True), (unedited, 1, False)):
            alike = [example for example in found if bool(example.table.edits) is kind]
            kept += draw.sample(alike, min(wanted - len(kept), len(alike)))
        if len(edited) == _EDITED_EXAMPLES and unedited:
            break
    order = {split: number for number, split in enumerate(plan.splits)}
    yield from sorted(edited, key=lambda example: (order[example.split], example.row, example.path or ""))
    yield from unedited


def _row_groups(
    plan: Plan, folder: RunFolder, files: list[DataFile], draw: random.Random
) -> Iterator[Iterator[Example]]:
    """The texts of a few row groups, drawn."""
    if edit_of(plan).run.edit_log_column is None:
        return
    firsts = _first_rows(files)
    num_left = _GROUPS_LOOKED_AT
    for file in draw.sample(files, len(files)):
        with folder.parquet(plan.data_passes[-1], file.shard) as parquet:
            lengths = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
            for group in draw.sample(range(len(lengths)), min(len(lengths), num_left)):
                yield _texts(plan, parquet, group, file.shard.split, firsts[file.shard.name] + sum(lengths[:group]))
                num_left -= 1
        if num_left == 0:
            return


def _first_rows(files: list[DataFile]) -> Mapping[str, int]:
    """The number in its split of the first row of each shard."""
    firsts: dict[str, int] = {}
    ends: dict[str, int] = {}
    for file in files:
        firsts[file.shard.name] = ends.get(file.shard.split, 0)
        ends[file.shard.split] = firsts[file.shard.name] + file.num_rows
    return firsts


def _texts(plan: Plan, parquet: Any, group: int, split: str, first: int) -> Iterator[Example]:
    from hf_toedit.rows.rows import piece_tables
    from hf_toedit.sources.row_groups import row_group_tables

    texts = plan.texts
    log_column = edit_of(plan).run.edit_log_column or ""
    columns = [*texts.columns(plan.reading.features), log_column]
    for rows in row_group_tables(parquet, [group], columns):
        for text, table in zip(texts.read(rows), piece_tables(rows, texts, log_column), strict=True):
            if table is not None and (table.edits or table.text.strip()):
                yield Example(split, first + text.row, None if texts.one_a_row else text.label, table)
        first += len(rows)
