"""Planning: cut the files of a source, in order, into shards of similar text size. Pure."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from hf_toedit.config import SourceConfig
from hf_toedit.errors import UsageError
from hf_toedit.runs.chosen import encoded
from hf_toedit.runs.plan import MAX_SHARDS, Plan, RowRange, Shard
from hf_toedit.runs.task import Task
from hf_toedit.sources.model import SHARD_BYTES, FileExtent, Reading, SourceFile

_SNAP = 0.1
"""A cut moves to a row group border within this fraction of a shard."""


def make_plan(
    *,
    source_config: SourceConfig,
    source_revision: str,
    reading: Reading,
    extents: Mapping[str, Sequence[FileExtent]],
    task: Task,
    version: str,
    shard_bytes: int | None = SHARD_BYTES,
    num_shards: int | None = None,
) -> Plan:
    """Plan a run.

    Args:
        source_config: Settings of the source.
        source_revision: Revision or fingerprint that pins the source.
        reading: How the files are read.
        extents: Files by split, in order.
        task: What is done to the rows.
        version: Version of hf-toedit.
        shard_bytes: Target text size per shard; None makes each file one shard.
        num_shards: Number of shards per split, instead of `shard_bytes`; fewer if there are fewer rows.

    Raises:
        UsageError: There would be too many shards.
    """
    files: list[SourceFile] = []
    shards: list[Shard] = []
    for split, measured in extents.items():
        total = sum(extent.num_bytes for extent in measured)
        by_file = num_shards is None and shard_bytes is None
        count = num_shards or (len(measured) if shard_bytes is None else max(1, -(-total // shard_bytes)))
        if count > MAX_SHARDS:
            raise UsageError(
                f"split {split!r} would have {count:,} shards, and at most {MAX_SHARDS:,} are possible. "
                f"Name a larger --shard-size, or fewer --num-shards."
            )
        places = {(file, 0) for file in range(1, count)} if by_file else _even_places(measured, count)
        cut = _cut(measured, places, first_file=len(files))
        shards += [replace(shard, split=split) for shard in cut]
        files += [extent.file for extent in measured]
    reading = replace(reading, features=json.loads(json.dumps(reading.features)))
    return Plan(source_config, source_revision, reading, task, tuple(files), tuple(shards), version)


def _even_places(extents: Sequence[FileExtent], count: int) -> set[tuple[int, int]]:
    """Return where to cut files into at most `count` stretches of similar text size."""
    ends = list(accumulate(extent.num_bytes for extent in extents))
    places = {_place(extents, ends, ends[-1] * number / count, ends[-1] / count) for number in range(1, count)}
    return places - {(0, 0), (len(extents), 0)}


def _cut(extents: Sequence[FileExtent], places: set[tuple[int, int]], first_file: int) -> list[Shard]:
    """Cut files, in order, at the given places; stretches without rows are dropped."""
    borders = [(0, 0), *sorted(places), (len(extents), 0)]
    stretches = [_stretch(extents, *pair) for pair in zip(borders, borders[1:], strict=False)]
    stretches = [stretch for stretch in stretches if stretch[0]] or stretches[:1]
    return [
        Shard("", index, len(stretches), num_rows, num_bytes,
              tuple(RowRange(first_file + file, start, stop) for file, start, stop in pieces))
        for index, (pieces, num_rows, num_bytes) in enumerate(stretches)
    ]  # fmt: skip


def _place(extents: Sequence[FileExtent], ends: Sequence[int], at: float, target: float) -> tuple[int, int]:
    """Return the file and row nearest to a text position; a border between files if the file's rows are not counted."""
    file = min(bisect_right(ends, at), len(extents) - 1)
    extent = extents[file]
    start = ends[file] - extent.num_bytes
    share = (at - start) / extent.num_bytes if extent.num_bytes else 0.0
    if extent.num_rows is None:
        return (file, 0) if share < 0.5 else (file + 1, 0)
    row = round(share * extent.num_rows)
    reach = _SNAP * extent.num_rows * target / extent.num_bytes if extent.num_bytes else 0.0
    group = bisect_left(extent.row_groups, row)
    near = [border for border in extent.row_groups[max(group - 1, 0) : group + 1] if abs(border - row) <= reach]
    row = min(near, key=lambda border: abs(border - row), default=row)
    return (file, row) if row < extent.num_rows else (file + 1, 0)


def _stretch(
    extents: Sequence[FileExtent], first: tuple[int, int], last: tuple[int, int]
) -> tuple[list[RowRange], int | None, int]:
    """Return the pieces between two places, their number of rows if known, and their text size."""
    pieces = []
    counts: list[int | None] = []
    num_bytes = 0.0
    for file in range(first[0], min(last[0] + 1, len(extents))):
        extent = extents[file]
        start = first[1] if file == first[0] else 0
        stop = last[1] if file == last[0] else extent.num_rows
        if stop == start:
            continue
        pieces.append(RowRange(file, start, stop))
        counts.append(None if stop is None else stop - start)
        num_bytes += extent.num_bytes * ((stop - start) / extent.num_rows if stop and extent.num_rows else 1)
    known = None if None in counts else sum(count or 0 for count in counts)
    return pieces, known, round(num_bytes)


def chosen_shards(shards: Sequence[Shard], sizes: Sequence[int], rows: np.ndarray) -> tuple[Shard, ...]:
    """Return shards with a selection of the rows of other shards; shards without selected rows are dropped.

    Args:
        shards: Complete shards, in order.
        sizes: Number of rows of each.
        rows: Row numbers over all shards, int64 `[n]`; each shard keeps its own rows in the order given here.
    """
    ends = np.cumsum(sizes)
    of_shard = np.searchsorted(ends, rows, side="right")
    order = np.argsort(of_shard, kind="stable")
    cuts = np.searchsorted(of_shard[order], np.arange(len(shards) + 1))
    parts = [
        part_of(shard, rows[order[start:stop]] - (end - size), size)
        for shard, size, end, start, stop in zip(shards, sizes, ends, cuts, cuts[1:], strict=False)
        if stop > start
    ]
    return numbered(parts)


def part_of(shard: Shard, rows: np.ndarray, size: int) -> Shard:
    """Return a shard with some of the rows of another shard.

    Args:
        shard: The other shard.
        rows: Row numbers in that shard, in order; int64 `[n]`.
        size: Number of rows of that shard.
    """
    is_whole = len(rows) == size and np.array_equal(rows, np.arange(size))
    num_bytes = round(shard.num_bytes * len(rows) / size)
    return replace(shard, num_rows=len(rows), num_bytes=num_bytes, chosen=None if is_whole else encoded(rows))


def numbered(shards: Sequence[Shard]) -> tuple[Shard, ...]:
    """Renumber shards within each split, in the order of the splits."""
    by_split: dict[str, list[Shard]] = {}
    for shard in shards:
        by_split.setdefault(shard.split, []).append(shard)
    return tuple(
        replace(shard, index=index, count=len(parts))
        for parts in by_split.values()
        for index, shard in enumerate(parts)
    )
