"""Rows and texts drawn from everywhere in a source, the same ones on every machine."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hf_toedit.runs.chosen import encoded
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.planning import chosen_shards

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_BYTES = 4_000_000
"""Of texts that are held in memory."""

_PLACES = 500
"""Where rows are drawn, however long that takes: a limit of time would make the report depend on the machine."""


def sampled_shards(plan: Plan, num_rows: int, seed: int) -> tuple[Shard, ...]:
    """Shards that hold some rows of a plan: each file gives as many as its share of all rows, within one.

    Args:
        plan: whole, of a run.
        num_rows: how many; all of them where there are not more.
        seed: of the draw.

    Raises:
        SourceError: the rows of a file that planning did not count cannot be read.
    """
    sizes = [_num_rows(plan, shard) for shard in plan.shards]
    return chosen_shards(plan.shards, sizes, evenly(sum(sizes), num_rows, seed))


def evenly(total: int, count: int, seed: int) -> np.ndarray:
    """Numbers below `total`, one at random of each of `count` equal stretches; int64, ascending, without repeats."""
    if count >= total:
        return np.arange(total, dtype=np.int64)
    edges = np.arange(count + 1, dtype=np.int64) * total // count
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:])


def _num_rows(plan: Plan, shard: Shard) -> int:
    if shard.num_rows is not None:
        return shard.num_rows
    columns = plan.texts.columns(plan.reader.features)
    return sum(
        len(table)
        for file, start, stop in shard.pieces
        for table in plan.reader.tables(plan.files[file], start, stop, columns)
    )


def sample_texts(plan: Plan, seed: int) -> list[str]:
    """Texts of about 4 MB, from everywhere in a source and in random order; all of them where there are not more.

    Args:
        plan: of a run over the source, or over rows that were drawn of it.
        seed: of the draw.

    Raises:
        SourceError: the source cannot be read.
    """
    from hf_toedit.runs.sampling import Sampler
    from hf_toedit.runs.shard import source_rows

    rng = np.random.default_rng(seed)
    share = min(SAMPLE_BYTES / max(plan.num_bytes, 1), 1.0)
    if share == 1 or any(shard.chosen for shard in plan.shards):
        shards = [_fewer(shard, share, seed) for shard in plan.shards]
        groups = [_texts(plan, table) for shard in shards for table in source_rows(plan, shard)]
    else:  # tables are let go at once: a few rows of one keep all the rows in memory that it was read with
        groups = [_texts(plan, drawn.cluster.table) for drawn in Sampler(plan, _PLACES, math.inf, seed)]
        groups = [groups[index] for index in rng.permutation(len(groups))]
    found: list[str] = []
    num_bytes = 0
    for text in chain.from_iterable(groups):
        if num_bytes < SAMPLE_BYTES:
            found.append(text)
            num_bytes += len(text.encode())
    return [found[index] for index in rng.permutation(len(found))]


def _texts(plan: Plan, table: pa.Table) -> list[str]:
    return [text.text for text in plan.texts.read(table) if text.text]


def _fewer(shard: Shard, share: float, seed: int) -> Shard:
    """A share of the rows of a shard whose rows are counted, drawn evenly."""
    if share == 1 or shard.num_rows is None:
        return shard
    rows = evenly(shard.num_rows, math.ceil(share * shard.num_rows), seed)
    rows = rows if shard.rows is None else shard.rows[rows]
    return replace(shard, num_rows=len(rows), chosen=encoded(rows))
