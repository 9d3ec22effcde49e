"""How many rows and tokens a source has: all of them counted where it is small, else drawn from everywhere in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_toedit.rows.rows import EDIT_BATCH, grouped
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.intervals import Quantity, half_width
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.sampling import Sampler

Count = Callable[[pa.Table], np.ndarray]
"""int64 `[rows]`: tokens of each row's texts, as statistics count them."""


@dataclass(frozen=True)
class Effort:
    """How much is done for an estimate.

    Attributes:
        all_bytes: text, as planned, up to which all of it is read.
        all_files: in at most so many files.
        num_places: of a larger source, where rows are drawn at most.
        seconds: to read and tokenize in; at least two places are read, however long that takes.
    """

    all_bytes: int = 4 * 2**20
    all_files: int = 500
    num_places: int = 512
    seconds: float = 10.0


_LONG_BYTES = 2**19
_PART_CHARACTERS = 2**16


@dataclass(frozen=True)
class Counted:
    """Rows and tokens of a source.

    Attributes:
        num_rows: of the source.
        num_tokens: of their texts, as the first generation's statistics count them.
        sampled_rows: rows that were tokenized.
        sampled_tokens: tokens in them.
        sampled_files: files that they are from.
        is_exact: whether these are all.
        from_beginnings: whether of some files only the beginning was read; the intervals are right if the rest of each
            file is like its beginning.
    """

    num_rows: Quantity
    num_tokens: Quantity
    sampled_rows: int
    sampled_tokens: int
    sampled_files: int
    is_exact: bool
    from_beginnings: bool = False


def count_tokens(plan: Plan, count: Count, effort: Effort | None = None, seed: int = 0) -> Counted:
    """Count the tokens of a source, or estimate them.

    Args:
        plan: of a run.
        count: tokenizes rows.
        effort: how much is done for it.
        seed: of the rows that are drawn.

    Raises:
        SourceError: rows cannot be read.
    """
    effort = effort or Effort()
    counted = None
    if plan.num_bytes <= effort.all_bytes and len(plan.files) <= effort.all_files:
        counted = _count_all(plan, count, effort)
    return counted or _count_some(plan, count, effort, seed)


def _count_all(plan: Plan, count: Count, effort: Effort) -> Counted | None:
    """Tokens of all rows; None where there are far more than planning took them for."""
    texts = plan.texts
    columns = texts.columns(plan.reader.features)
    num_rows = num_tokens = num_bytes = 0
    pieces = [piece for shard in plan.shards for piece in shard.pieces]
    for file, start, stop in pieces:
        for table in grouped(plan.reader.tables(plan.files[file], start, stop, columns), texts, EDIT_BATCH):
            num_bytes += int(texts.num_bytes(table).sum())
            if num_bytes > 2 * effort.all_bytes:
                return None
            num_rows += len(table)
            num_tokens += int(count(table).sum())
    rows, tokens = Quantity.around(num_rows, 0), Quantity.around(num_tokens, 0)
    return Counted(rows, tokens, num_rows, num_tokens, len({file for file, _, _ in pieces}), is_exact=True)


class _Rate(NamedTuple):
    """Tokens and rows per byte of the line, at a place that `weight` draws led to."""

    place: float
    tokens: float
    rows: float
    weight: int = 1


def _count_some(plan: Plan, count: Count, effort: Effort, seed: int) -> Counted:
    """Tokens of rows drawn from everywhere, and what they say of the others."""
    until = time.monotonic() + effort.seconds
    sampler = Sampler(plan, effort.num_places, effort.seconds, seed)
    rates: list[_Rate] = []
    beginnings: dict[int, list[_Rate]] = {}
    known: dict[int, tuple[pa.Table, np.ndarray]] = {}
    files = set()
    is_measured = True
    sampled_tokens = 0
    texts, rng = plan.texts, np.random.default_rng(seed)
    for number, (place, file, cluster) in enumerate(sampler):
        table, times = _shortened(cluster.table, texts, rng)
        if id(table) in known:
            tokens = known[id(table)][1]
        else:
            tokens = count(table)
            sampled_tokens += int(tokens.sum())
            known[id(cluster.table)] = cluster.table, tokens
        token_rate = float(cluster.shares @ (tokens * times)) * cluster.scale
        found = beginnings.setdefault(file, []) if cluster.is_beginning else rates
        found.append(_Rate(place, token_rate, cluster.row_rate))
        is_measured &= cluster.is_measured
        files.add(file)
        if number and time.monotonic() > until:
            break
    # What is drawn from the beginning of a file again and again says nothing of its rest, so it counts as drawn once.
    for found in beginnings.values():
        place, token_rate, row_rate = np.mean([rate[:3] for rate in found], axis=0).tolist()
        rates.append(_Rate(place, token_rate, row_rate, len(found)))
    rates.sort()

    def total(values: Sequence[float]) -> Quantity:
        weights = np.array([rate.weight for rate in rates], float)
        weights /= weights.sum()
        half = half_width(np.array(values), weights) if is_measured else None
        return Quantity.around(float(weights @ values), half).times(sampler.length)

    return Counted(
        total([rate.rows for rate in rates]) if plan.num_rows is None else Quantity.around(plan.num_rows, 0),
        total([rate.tokens for rate in rates]),
        sum(len(table) for table, _ in known.values()),
        sampled_tokens,
        len(files),
        is_exact=False,
        from_beginnings=bool(beginnings),
    )


def _shortened(table: pa.Table, texts: Texts, rng: np.random.Generator) -> tuple[pa.Table, np.ndarray]:
    """Rows of which very long texts are cut, and how many times longer the texts of each row were.

    A part of such a text, from anywhere in it, has as many tokens per character, save for one at its ends. It is drawn
    again each time that its row is, so that intervals tell how much the parts differ.
    """
    times = np.ones(len(table))
    if not (texts.num_bytes(table) > _LONG_BYTES).any():
        return table, times
    found = texts.read(table)
    lengths = np.array([len(text.text or "") for text in found])
    starts = (rng.random(len(found)) * np.maximum(lengths - _PART_CHARACTERS + 1, 1)).astype(np.int64)
    parts = [
        text.text and text.text[at : at + _PART_CHARACTERS] for text, at in zip(found, starts.tolist(), strict=True)
    ]
    rows = np.array([text.row for text in found], np.int64)
    whole, left = (
        np.bincount(rows, weights, len(table)) for weights in (lengths, np.minimum(lengths, _PART_CHARACTERS))
    )
    return texts.write(table, found, parts), np.divide(whole, left, out=times, where=left > 0)
