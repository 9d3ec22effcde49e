"""Samples of rows and texts from all parts of a source, the same on every machine."""

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
"""Bytes of sampled texts that are held in memory."""

_PLACES = 500
"""Number of places to sample rows from, without a time limit, which would make the report depend on the machine."""


def sampled_shards(plan: Plan, num_rows: int, seed: int) -> tuple[Shard, ...]:
    """Return shards with a sample of a plan's rows; each file contributes its share of all rows, to within one row.

    Args:
        plan: Complete plan of a run.
        num_rows: Number of rows; all of them if there are fewer.
        seed: Random seed for sampling.

    Raises:
        SourceError: The rows of a file that planning did not count cannot be read.
    """
    sizes = [_num_rows(plan, shard) for shard in plan.shards]
    return chosen_shards(plan.shards, sizes, evenly(sum(sizes), num_rows, seed))


def evenly(total: int, count: int, seed: int) -> np.ndarray:
    """Return numbers below `total`, one random number per each of `count` equal ranges; int64, ascending, distinct."""
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
    """Return texts of about 4 MB, from all parts of a source and in random order; all texts if there are fewer.

    Args:
        plan: Plan of a run over the source, or over rows sampled from it.
        seed: Random seed for sampling.

    Raises:
        SourceError: The source cannot be read.
    """
    from hf_toedit.runs.sampling import Sampler
    from hf_toedit.runs.shard import source_rows

    rng = np.random.default_rng(seed)
    share = min(SAMPLE_BYTES / max(plan.num_bytes, 1), 1.0)
    if share == 1 or any(shard.chosen for shard in plan.shards):
        shards = [_fewer(shard, share, seed) for shard in plan.shards]
        groups = [_texts(plan, table) for shard in shards for table in source_rows(plan, shard)]
    else:  # tables are released at once: a few rows of a table would keep all rows in memory that were read with it
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
    """Sample a share of a shard's rows evenly, if its rows have been counted."""
    if share == 1 or shard.num_rows is None:
        return shard
    rows = evenly(shard.num_rows, math.ceil(share * shard.num_rows), seed)
    rows = rows if shard.rows is None else shard.rows[rows]
    return replace(shard, num_rows=len(rows), chosen=encoded(rows))
