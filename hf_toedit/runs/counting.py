"""Count the rows and tokens of a source: exactly if it is small, otherwise from a sample spread over all of it."""

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
"""Returns the number of tokens of each row's texts, int64 `[rows]`, counted as statistics count them."""


@dataclass(frozen=True)
class Effort:
    """How much work an estimate may take.

    Attributes:
        all_bytes: Planned text size up to which the whole source is read.
        all_files: Number of files up to which the whole source is read.
        num_places: Maximum number of places at which rows of a larger source are sampled.
        seconds: Time limit for reading and tokenizing; at least two places are read, however long that takes.
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
        num_rows: Rows of the source.
        num_tokens: Tokens of their texts, as the first generation's statistics count them.
        sampled_rows: Rows that were tokenized.
        sampled_tokens: Tokens in the sampled rows.
        sampled_files: Files that the sampled rows are from.
        is_exact: Whether all rows were counted.
        from_beginnings: Whether only the beginning of some files was read; the intervals are valid if the rest of each
            file resembles its beginning.
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
        plan: The run's plan.
        count: Tokenizes rows.
        effort: How much work the estimate may take.
        seed: Random seed for sampling rows.

    Raises:
        SourceError: Rows cannot be read.
    """
    effort = effort or Effort()
    counted = None
    if plan.num_bytes <= effort.all_bytes and len(plan.files) <= effort.all_files:
        counted = _count_all(plan, count, effort)
    return counted or _count_some(plan, count, effort, seed)


def _count_all(plan: Plan, count: Count, effort: Effort) -> Counted | None:
    """Count the tokens of all rows; return None if there is far more text than planned."""
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
    """Tokens and rows per byte of the line at one place, which was drawn `weight` times."""

    place: float
    tokens: float
    rows: float
    weight: int = 1


def _count_some(plan: Plan, count: Count, effort: Effort, seed: int) -> Counted:
    """Estimate the tokens of a source from rows drawn from everywhere in it."""
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
    # Repeated draws from the beginning of one file carry no information about the rest of the file, so their mean
    # counts as one draw.
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
    """Shorten very long texts, and return the ratio of each row's original text length to its new length.

    A part from anywhere in such a text has the same number of tokens per character, except for one token at its ends.
    The part is resampled each time its row is drawn, so that the intervals reflect how much the parts differ.
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
