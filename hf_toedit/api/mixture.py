"""Rows of datasets that are mixed, and the shards of the mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hf_toedit.runs.plan import RowRange, Shard
from hf_toedit.runs.planning import numbered, part_of

if TYPE_CHECKING:
    from hf_toedit.api.run import Run
    from hf_toedit.scorers.statistics import ScoreStats
    from hf_toedit.selection.mixture import Drawn
    from hf_toedit.tasks.map import MapStats

SPLIT = "train"
"""The split of a mixture."""

_SHARD_BYTES = 256_000_000
"""Target text size per shard of a mixture."""


@dataclass(frozen=True)
class Part:
    """One dataset of a mixture.

    Attributes:
        counted: The run that counted its tokens.
        drawn: Its rows in the mixture.
        places: int64 `[n]`, the positions of these rows in the mixture.
        sizes: Number of rows of each of its shards.
    """

    counted: Run[ScoreStats]
    drawn: Drawn
    places: np.ndarray
    sizes: Sequence[int]

    @property
    def in_order(self) -> np.ndarray:
        """The rows in the order of the mixture; int64 `[n]`."""
        return self.drawn.rows[np.argsort(self.places)]

    @property
    def places_of_shards(self) -> list[np.ndarray]:
        """The positions of the rows of each non-empty shard, ascending."""
        of_shard = np.searchsorted(np.cumsum(self.sizes), self.in_order, side="right")
        by_shard = np.argsort(of_shard, kind="stable")
        borders = np.flatnonzero(np.diff(of_shard[by_shard])) + 1
        return np.split(np.sort(self.places)[by_shard], borders)


def mixture_shards(
    parts: Mapping[str, Part], laid_out: Mapping[str, Run[MapStats]], paths: Sequence[str]
) -> tuple[Shard, ...]:
    """Return the shards of the mixture: a range of rows of each file, and the order of all these rows."""
    files: list[tuple[int, np.ndarray, float]] = []
    for name, part in parts.items():
        plan = laid_out[name].plan
        (pass_,) = plan.passes
        for shard, there in zip(plan.shards, part.places_of_shards, strict=True):
            path = laid_out[name].folder.relative(laid_out[name].folder.data_path(pass_, shard))
            number = next(at for at, known in enumerate(paths) if f"/{known}".endswith(f"/{name}/rows/{path}"))
            files.append((number, there, shard.num_bytes / len(there)))
    total, num_bytes = sum(len(there) for _, there, _ in files), sum(len(there) * size for _, there, size in files)
    count = min(total, max(1, round(num_bytes / _SHARD_BYTES)))
    ends = [total * number // count for number in range(count + 1)]
    shards = []
    for start, stop in zip(ends, ends[1:], strict=False):
        pieces, places, size = [], [], 0.0
        for number, there, row_bytes in files:
            first, last = np.searchsorted(there, (start, stop)).tolist()
            if last > first:
                pieces.append(RowRange(number, first, last))
                places.append(there[first:last])
                size += (last - first) * row_bytes
        order = np.argsort(np.concatenate(places), kind="stable")
        whole = Shard(SPLIT, 0, 1, len(order), round(size), tuple(pieces))
        shards.append(part_of(whole, order, len(order)))
    return numbered(shards)
