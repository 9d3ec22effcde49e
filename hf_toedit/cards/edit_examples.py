"""Example edits for a card, from a few row groups: whole texts, and single places of every kind. No wording."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hf_toedit.cards.data import DataFile
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.runs.plan import Plan
from hf_toedit.tasks.edit import edit_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from hf_toedit.runs.store import RunFolder

_EDITED_EXAMPLES = 3
_GROUPS_LOOKED_AT = 8
"""Maximum number of row groups to search for examples."""

_TEXTS_LOOKED_AT = 200
"""Maximum number of edited texts to search for places of every kind."""

_PLACES_OF_A_KIND = 2

WHOLE = {"capitalised_word", "whole_word", "punctuation"}
"""Kinds whose edits keep a text readable, if the replacement is of these kinds as well."""

_WORD = re.compile(r"[^\W\d_]+")


class Example(NamedTuple):
    """A text of the last generation.

    Attributes:
        split: Split of its row.
        row: Index of the row in the split.
        path: Path of the text in the row; None if a row has one text.
        table: The text and its differences from the source.
    """

    split: str
    row: int
    path: str | None
    table: PieceTable


class Place(NamedTuple):
    """One edit of a text.

    Attributes:
        example: The edited text.
        alone: The source with only this edit applied.
        kind: Kind of the replaced text; one of `place_kinds.KINDS`.
        is_whole: Whether the text stays readable: a word was replaced by a word that occurs elsewhere in these texts,
            or punctuation by punctuation.
    """

    example: Example
    alone: PieceTable
    kind: str
    is_whole: bool


class Rows(NamedTuple):
    """Examples found in the rows of a run.

    Attributes:
        examples: Edited texts of the last generation, sampled with the seed, in order; then one unedited text.
        places: The first few of each kind, whole and not, in texts sampled with the seed.
    """

    examples: tuple[Example, ...]
    places: tuple[Place, ...]

    @classmethod
    def read(cls, plan: Plan, folder: RunFolder, files: list[DataFile]) -> Self:
        """Search row groups, chosen by the seed, until enough is found or the limit is reached."""
        edited: list[Example] = []
        unedited: list[Example] = []
        looked_at: list[Example] = []
        draw = random.Random(edit_of(plan).edit.seed)
        for group in _row_groups(plan, folder, files, draw):
            found = list(group)
            for kept, wanted, kind in ((edited, _EDITED_EXAMPLES, True), (unedited, 1, False)):
                alike = [example for example in found if bool(example.table.edits) is kind]
                kept += draw.sample(alike, min(wanted - len(kept), len(alike)))
            looked_at += [example for example in found if example.table.edits]
            if len(edited) == _EDITED_EXAMPLES and unedited:
                break
        order = {split: number for number, split in enumerate(plan.splits)}
        edited.sort(key=lambda example: (order[example.split], example.row, example.path or ""))
        draw.shuffle(looked_at)
        return cls((*edited, *unedited), tuple(_places(looked_at[:_TEXTS_LOOKED_AT])))


def _places(examples: list[Example]) -> Iterator[Place]:
    """Yield the first few places of each kind, from different texts where possible."""
    words = {word for example in examples for word in _WORD.findall(example.table.revert())}
    known = {word for word in words if len(word) > 1 or not word.isascii()}  # a single Latin letter is rarely a word
    found: dict[tuple[str, bool], dict[int, int]] = {}
    for number, example in enumerate(examples):
        for index, sort in enumerate(_sorts(example.table, known)):
            found.setdefault(sort, {}).setdefault(number, index)
    for (kind, is_whole), alike in found.items():
        for number, index in islice(alike.items(), _PLACES_OF_A_KIND):
            yield Place(examples[number], _alone(examples[number].table, index), kind, is_whole)


def _sorts(table: PieceTable, known: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield the kind of each edit of a text, and whether its replacement is whole as well."""
    from hf_toedit.editing.kinds import kinds_of, kinds_of_edits
    from hf_toedit.editing.words import shape_of

    starts, ends = (np.array([getattr(edit, name) for edit in table.edits], int) for name in ("start", "end"))
    kinds_now = kinds_of(table.text, starts, ends)
    for edit, kind, kind_now in zip(table.edits, kinds_of_edits(table), kinds_now, strict=True):
        now = table.text[edit.start : edit.end]
        is_alike = shape_of(now) is not None and shape_of(now) == shape_of(edit.source)
        yield kind, is_alike and {kind, kind_now} <= WHOLE and all(word in known for word in _WORD.findall(now))


def _alone(table: PieceTable, index: int) -> PieceTable:
    edit, before = table.edits[index], table.edits[:index]
    start = edit.start + sum(len(other.source) - (other.end - other.start) for other in before)
    source, now = table.revert(), table.text[edit.start : edit.end]
    alone = edit._replace(start=start, end=start + len(now))
    return PieceTable(source[:start] + now + source[start + len(edit.source) :], (alone,))


def _row_groups(
    plan: Plan, folder: RunFolder, files: list[DataFile], draw: random.Random
) -> Iterator[Iterator[Example]]:
    """Yield the texts of a few sampled row groups."""
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
    """Return the index in its split of the first row of each shard."""
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
