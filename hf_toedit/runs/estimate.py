"""What a run would be: rows, tokens, time and cost, with 95 % intervals.

Tokens need no model. Those of a small source are all counted; of a larger one, those of rows drawn from everywhere in
it (`counting`). The model only reads some of these rows, to find out how fast it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_toedit.editing.alignment import Document
from hf_toedit.runs.counting import count_tokens
from hf_toedit.runs.intervals import Quantity, half_width
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.task import LoadedTask

_SPEED_SECONDS = 4.0
_BATCH_SECONDS = 1.0
_FIRST_BATCH = 64
_LAST_BATCH = 2**14
_BATCHES = (3, 8)


@dataclass(frozen=True)
class Estimate:
    """Figures of a run that was not made.

    Attributes:
        num_rows: of the source.
        num_rows_low: lower end of its 95 % interval; None where nothing can be said of it, as of all intervals.
        num_rows_high: upper end.
        num_tokens: of the source.
        num_tokens_low: lower end of its interval.
        num_tokens_high: upper end.
        is_exact: whether all rows were counted and tokenized, so that the run has as many.
        from_beginnings: see `Counted`.
        sampled_rows: rows tokenized.
        sampled_tokens: tokens in them.
        sampled_files: files that they are from.
        tokens_per_second: measured on some of them, on one device.
        timed_tokens: read for that, after a warm-up.
        passes: over all rows.
        hours: of one device, over all passes.
        hours_low: lower end of its interval, from those of tokens and of the speed among batches.
        hours_high: upper end.
        cost: of these hours; None where no price is known.
        cost_low: lower end.
        cost_high: upper end.
    """

    num_rows: int
    num_rows_low: int | None
    num_rows_high: int | None
    num_tokens: int
    num_tokens_low: int | None
    num_tokens_high: int | None
    is_exact: bool
    from_beginnings: bool
    sampled_rows: int
    sampled_tokens: int
    sampled_files: int
    tokens_per_second: float
    timed_tokens: int
    passes: int
    hours: float
    hours_low: float | None
    hours_high: float | None
    cost: float | None
    cost_low: float | None
    cost_high: float | None


def estimate_run(plan: Plan, loaded: LoadedTask, price_per_hour: float | None = None) -> Estimate:
    """Count tokens, or estimate how many there are, and measure how fast the model reads them.

    Args:
        plan: of the run.
        loaded: the plan's task, with its model.
        price_per_hour: of a device.

    Raises:
        SourceError: rows cannot be read.
        PriorError: the model fails on every text.
    """
    documents: list[Document] = []

    def count(table: pa.Table) -> np.ndarray:
        num_tokens, found = loaded.sample(plan.texts, table)
        documents.extend(found)
        return num_tokens

    counted = count_tokens(plan, count)
    speed = _measure_speed(loaded, documents)
    tokens = counted.num_tokens
    hours = _hours(tokens, speed).times(len(plan.passes))
    cost = Quantity(0, None, None) if price_per_hour is None else hours.times(price_per_hour)
    return Estimate(
        *_whole(counted.num_rows),
        *_whole(tokens),
        is_exact=counted.is_exact,
        from_beginnings=counted.from_beginnings,
        sampled_rows=counted.sampled_rows,
        sampled_tokens=counted.sampled_tokens,
        sampled_files=counted.sampled_files,
        tokens_per_second=speed.value,
        timed_tokens=speed.num_tokens,
        passes=len(plan.passes),
        hours=hours.value,
        hours_low=hours.low,
        hours_high=hours.high,
        cost=None if price_per_hour is None else cost.value,
        cost_low=cost.low,
        cost_high=cost.high,
    )


class _Speed(NamedTuple):
    """How fast a model reads.

    Attributes:
        value: tokens per second, of texts; context is read as well, and not counted.
        half: half the width of the 95 % interval of its mean, relative to it; None where it was measured once.
        num_tokens: that were read, after a warm-up.
    """

    value: float
    half: float | None
    num_tokens: int


def _measure_speed(loaded: LoadedTask, documents: Sequence[Document]) -> _Speed:
    """Have the model read some documents, in random order, in batches that each take a moment at most."""
    documents = [document for document in documents if document.own.any()]
    if not documents:
        return _Speed(0.0, None, 0)
    lengths = [_num_read(document) for document in documents]
    own = sum(int(document.own.sum()) for document in documents) / sum(lengths)
    order = np.random.default_rng(0).permutation(len(documents))
    waiting = cycle([documents[index] for index in order])
    threads = loaded.concurrency
    least, most = _BATCHES
    # A small source is not read more often than the run will.
    largest = min(max(sum(lengths) // (least * threads), _FIRST_BATCH), _LAST_BATCH)

    def seconds(num_tokens: int) -> float:
        batches = [list(_batch(waiting, num_tokens)) for _ in range(threads)]
        began = time.perf_counter()
        loaded.read(batches)
        return time.perf_counter() - began

    until = time.monotonic() + _SPEED_SECONDS
    size = _FIRST_BATCH
    while True:  # this warms up as well
        fitting = min(int(size * _BATCH_SECONDS / seconds(size)), 4 * size, largest)
        if fitting <= 1.5 * size or time.monotonic() > until:
            break
        size = fitting
    spent: list[float] = []
    until = time.monotonic() + _SPEED_SECONDS
    most = min(most, max(sum(lengths) // (size * threads), least))
    while len(spent) < least or (len(spent) < most and time.monotonic() < until):
        spent.append(seconds(size))
    mean = float(np.mean(spent))
    half = half_width(np.array(spent), np.full(len(spent), 1 / len(spent)))
    return _Speed(
        own * size * threads / mean, None if half is None else half / mean, round(own * size * threads * len(spent))
    )


def _batch(documents: Iterator[Document], num_tokens: int) -> Iterator[Document]:
    """Documents of so many tokens to read; the last one is cut to its end, for all of it to lead to its own tokens."""
    while num_tokens > 0:
        document = next(documents)
        stop = _num_read(document)
        part = slice(max(stop - num_tokens, 0), stop)
        num_tokens -= stop
        arrays = (document.ids, document.starts, document.ends, document.causes)
        yield Document(document.text, *(array[part] for array in arrays))


def _num_read(document: Document) -> int:
    """Tokens of a document up to the last of its own: what follows is not read."""
    return int(np.flatnonzero(document.own)[-1]) + 1


def _hours(tokens: Quantity, speed: _Speed) -> Quantity:
    if not speed.value:
        return Quantity.around(0.0, 0.0)
    hours = tokens.value / speed.value / 3600
    if tokens.half is None or speed.half is None:
        return Quantity.around(hours, None)
    relative = math.hypot(tokens.half / tokens.value if tokens.value else 0.0, speed.half)
    return Quantity.around(hours, hours * relative)


def _whole(quantity: Quantity) -> tuple[int, int | None, int | None]:
    value, low, high = quantity
    return round(value), None if low is None else round(low), None if high is None else round(high)
