"""Estimates of a run before it is made: rows, tokens, time and cost, with 95 % intervals.

Counting tokens needs no model. All tokens of a small source are counted; for a larger source, rows are sampled from
everywhere in it (`counting`). The model reads only some of these rows, to measure its speed.
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
    """Estimated figures of a run.

    Attributes:
        num_rows: Rows of the source.
        num_rows_low: Lower end of its 95 % interval; None, as for all intervals, if it cannot be estimated.
        num_rows_high: Upper end of its interval.
        num_tokens: Tokens of the source.
        num_tokens_low: Lower end of its interval.
        num_tokens_high: Upper end of its interval.
        is_exact: Whether all rows were counted and tokenized, so that the run has exactly these numbers.
        from_beginnings: See `Counted`.
        sampled_rows: Rows that were tokenized.
        sampled_tokens: Tokens in the sampled rows.
        sampled_files: Files that the sampled rows are from.
        tokens_per_second: Speed on one device, measured on some of the sampled rows.
        timed_tokens: Tokens read for the speed measurement, after a warm-up.
        passes: Number of passes over all rows.
        hours: Hours on one device, over all passes.
        hours_low: Lower end of its interval, from the interval of tokens and the variation of speed among batches.
        hours_high: Upper end of its interval.
        cost: Cost of these hours; None if no price is known.
        cost_low: Lower end of its interval.
        cost_high: Upper end of its interval.
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
    """Count or estimate the tokens of a source, and measure how fast the model reads them.

    Args:
        plan: The run's plan.
        loaded: The plan's task, with its model.
        price_per_hour: Price of one device per hour.

    Raises:
        SourceError: Rows cannot be read.
        PriorError: The model fails on every text.
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
    """Reading speed of a model.

    Attributes:
        value: Text tokens per second; context is read as well, but not counted.
        half: Half the width of the 95 % interval of the mean, relative to the mean; None if it was measured only once.
        num_tokens: Number of tokens that were read, after a warm-up.
    """

    value: float
    half: float | None
    num_tokens: int


def _measure_speed(loaded: LoadedTask, documents: Sequence[Document]) -> _Speed:
    """Time the model on documents in random order, in batches that take about a second each."""
    documents = [document for document in documents if document.own.any()]
    if not documents:
        return _Speed(0.0, None, 0)
    lengths = [_num_read(document) for document in documents]
    own = sum(int(document.own.sum()) for document in documents) / sum(lengths)
    order = np.random.default_rng(0).permutation(len(documents))
    waiting = cycle([documents[index] for index in order])
    threads = loaded.concurrency
    least, most = _BATCHES
    # A small source must not be read more often than the run itself will read it.
    largest = min(max(sum(lengths) // (least * threads), _FIRST_BATCH), _LAST_BATCH)

    def seconds(num_tokens: int) -> float:
        batches = [list(_batch(waiting, num_tokens)) for _ in range(threads)]
        began = time.perf_counter()
        loaded.read(batches)
        return time.perf_counter() - began

    until = time.monotonic() + _SPEED_SECONDS
    size = _FIRST_BATCH
    while True:  # this also warms up
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
    """Yield documents with a total of `num_tokens` tokens to read.

    The last document keeps only its end, so that all tokens read lead to own tokens.
    """
    while num_tokens > 0:
        document = next(documents)
        stop = _num_read(document)
        part = slice(max(stop - num_tokens, 0), stop)
        num_tokens -= stop
        arrays = (document.ids, document.starts, document.ends, document.causes)
        yield Document(document.text, *(array[part] for array in arrays))


def _num_read(document: Document) -> int:
    """Number of tokens of a document up to the last of its own tokens; the rest is not read."""
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
