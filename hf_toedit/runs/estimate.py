"""What a run would be, from a sample of it: rows, tokens, time and cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from hf_toedit.editing.editor import ToEditor
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.rows import GroupSize, edit_batch, edit_table, grouped
from hf_toedit.runs.shard import source_rows
from hf_toedit.runs.texts import Texts

if TYPE_CHECKING:
    from hf_toedit.priors.base import Prior

_SHARDS = 8
_SECONDS = 10.0


@dataclass(frozen=True)
class Estimate:
    """Figures of a run that was not made.

    Attributes:
        num_rows: of the source, estimated where planning did not count them.
        num_tokens: of the source, estimated.
        sampled_rows: rows read for that.
        sampled_tokens: tokens in them.
        tokens_per_second: measured on them, on one device.
        generations: that would be made.
        hours: of one device, over all passes.
        cost: of these hours; None where no price is known.
    """

    num_rows: int
    num_tokens: int
    sampled_rows: int
    sampled_tokens: int
    tokens_per_second: float
    generations: int
    hours: float
    cost: float | None


def estimate_run(plan: Plan, prior: Prior, price_per_hour: float | None = None) -> Estimate:
    """Edit a few rows of evenly spread shards, and scale up.

    Args:
        plan: of the run.
        prior: of the plan.
        price_per_hour: of a device.

    Raises:
        SourceError: rows cannot be read.
        PriorError: the prior fails on every text.
    """
    editor = ToEditor(prior, plan.edit)
    texts = Texts(plan.source)
    num_rows = num_tokens = num_bytes = 0
    speeds: list[tuple[int, float]] = []
    for batch in _sample(plan, texts, edit_batch(prior)):
        began = time.perf_counter()
        _, stats = edit_table(editor, batch, texts, plan.run.edit_log_column, 1)
        speeds.append((stats.num_tokens, time.perf_counter() - began))
        num_rows += len(batch)
        num_tokens += stats.num_tokens
        num_bytes += int(texts.num_bytes(batch).sum())
    counted = speeds[1:] or speeds  # the first batch also warms up
    seconds = sum(spent for _, spent in counted)
    speed = sum(count for count, _ in counted) / seconds if seconds else 0.0
    if plan.num_rows is None:
        scale = plan.num_bytes / num_bytes if num_bytes else 0.0
    else:
        scale = plan.num_rows / num_rows if num_rows else 0.0
    total = round(num_tokens * scale)
    hours = total * plan.num_passes / speed / 3600 if speed else 0.0
    return Estimate(
        num_rows=round(num_rows * scale),
        num_tokens=total,
        sampled_rows=num_rows,
        sampled_tokens=num_tokens,
        tokens_per_second=speed,
        generations=len(plan.generations),
        hours=hours,
        cost=None if price_per_hour is None else hours * price_per_hour,
    )


def _sample(plan: Plan, texts: Texts, size: GroupSize) -> Iterator[pa.Table]:
    """The first rows of some shards, for as long as it may take."""
    until = time.monotonic() + _SECONDS
    step = max(1, len(plan.shards) // _SHARDS)
    for number, shard in enumerate(plan.shards[::step]):
        first = next(iter(grouped(source_rows(plan, shard), texts, size)), None)
        if first is not None:
            yield first
        if number and time.monotonic() > until:
            return
