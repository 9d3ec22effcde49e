"""Scores of all rows of a source as arrays, from a run of scores; and the folders of a run's preceding steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.selection.choice import keys_of
from hf_toedit.storage.layout import STEPS
from hf_toedit.tasks.score import ScoreTask

if TYPE_CHECKING:
    from hf_toedit.api.run import Run
    from hf_toedit.scorers.scorer import ScorerConfig
    from hf_toedit.scorers.statistics import ScoreStats


def step_folder(folder: str, name: str) -> str:
    """Return the folder of a run that is a step of another run.

    Args:
        folder: Folder of the other run.
        name: Name of the step; it may contain slashes.
    """
    return f"{folder.rstrip('/')}/{STEPS.as_posix()}/{name}"


def field_of(scorer: ScorerConfig, asked: str | None) -> str:
    """Return the field of a scorer by which rows are chosen: the requested one, or else the first.

    Raises:
        UsageError: The scorer has no such field.
    """
    name = asked or next(iter(scorer.fields))
    if name not in scorer.fields:
        raise UsageError(f"the scores of {scorer.kind!r} have no field {name!r}.{did_you_mean(name, scorer.fields)}")
    return name


def values_of(run: Run[ScoreStats], field: str) -> np.ndarray:
    """Return the scores of all rows of a run of scores, in order; float64 `[rows]`, NaN for rows without a score.

    Args:
        run: A finished run.
        field: Field of the scorer.
    """
    import pyarrow.compute as pc

    task, (pass_,) = run.plan.task, run.plan.data_passes
    assert isinstance(task, ScoreTask)
    path = [task.scores_column, task.scorer.kind, field]
    found = [np.empty(0)]
    for shard in run.plan.shards:
        for table in run.folder.tables(run.plan, pass_, shard, [task.scores_column]):
            column = pc.struct_field(table[path[0]], path[1:])
            found.append(column.to_numpy().astype(np.float64))
    return np.concatenate(found)


def sizes_of(run: Run[ScoreStats]) -> list[int]:
    """Return the number of rows of each shard of a finished run, whether or not planning counted them."""
    (pass_,) = run.plan.data_passes
    stats = run.folder.all_stats(run.plan, pass_, run.plan.shards)
    return [stats[shard.name].num_rows for shard in run.plan.shards]


def keys_of_rows(run: Run[ScoreStats]) -> np.ndarray:
    """Return a key per row of a finished run, whatever its shards; uint64 `[rows]`, see `selection.choice.keys_of`."""
    of_split = dict.fromkeys(run.plan.splits, 0)
    for shard, size in zip(run.plan.shards, sizes_of(run), strict=True):
        of_split[shard.split] += size
    return np.concatenate([keys_of(split, count) for split, count in of_split.items()])
