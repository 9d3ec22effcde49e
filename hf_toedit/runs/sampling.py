"""Sampling of rows from everywhere in a source, to estimate sums over all its rows from a few of them.

The files are laid end to end on a line, each as long as its size in bytes, and places are drawn on that line. A place
leads to a few neighbouring rows, with a probability proportional to their bytes. Their tokens per byte, averaged over
places and multiplied by the bytes of all files, estimate all tokens without bias (Hansen and Hurwitz 1943, sampling
with probability proportional to size), and vary little: a long document has many tokens, but not many per byte. The
fraction of text in a file and its compression are measured along the way.

Repeated texts take almost no bytes in a compressed file. If rows are counted, the length of a file or row group is
therefore determined half by its bytes and half by its rows, so that no rows are too improbable for their weight
(defensive mixtures, Hesterberg 1995).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow.parquet import FileMetaData

from hf_toedit.rows.rows import GroupSize, grouped
from hf_toedit.runs.plan import Plan
from hf_toedit.sources.lines import LineReader, NotLines
from hf_toedit.sources.row_groups import column_bytes

Item = TypeVar("Item")

CLUSTER = GroupSize(1000, 2**14)
"""Rows that are drawn together: few, to allow many places, but enough to be worth seeking to a place."""

_PLACES_PER_RANGE = 8
_FEW_FILES = 8
_KEPT = 16


class Cluster(NamedTuple):
    """Neighbouring rows that were drawn.

    Attributes:
        table: The rows, with the columns that the prior reads.
        shares: Fraction of each row that was drawn, float64 `[rows]`.
        scale: Factor that converts sums over these shares to amounts per byte of the line.
        row_rate: Rows per byte of the line.
        is_beginning: Whether rows were drawn only from the beginning of the file, because the rest takes too long to
            reach.
        is_measured: Whether it is known which fraction of the file that beginning is.
    """

    table: pa.Table
    shares: np.ndarray
    scale: float
    row_rate: float
    is_beginning: bool = False
    is_measured: bool = True


class Drawn(NamedTuple):
    """A cluster, its place on the line, and the index of its file in the plan."""

    place: float
    file: int
    cluster: Cluster


class _Part(NamedTuple):
    """A part of a file that can be read independently.

    Attributes:
        size: Length of the part on the line.
        draw: Returns a cluster for each place; places are ascending fractions of the part.
    """

    size: float
    draw: Callable[[np.ndarray], list[Cluster]]


class Sampler:
    """Draws clusters of rows from the source of a plan.

    Args:
        plan: The run's plan.
        num_places: Maximum number of places.
        seconds: Time for which the caller intends to draw. If rows can only be read from the beginning of a file,
            reading stops after a share of that time.
        seed: Random seed for sampling.

    Attributes:
        length: Length of the line: bytes of all files.
    """

    def __init__(self, plan: Plan, num_places: int, seconds: float, seed: int) -> None:
        self._plan = plan
        self._rng = np.random.default_rng(seed)
        self._texts = plan.texts
        self._columns = self._texts.columns(plan.reader.features)
        self._none = plan.reader.empty_table(self._columns)
        self._rows = _planned_rows(plan)
        files = list(self._rows)
        sizes = np.array([plan.files[file].size for file in files], float)
        counts = [stop - start for start, stop in self._rows.values() if stop is not None]
        self.length = float(sizes.sum())
        if len(counts) == len(files):
            sizes = self.length * _mixed(sizes, np.array(counts))
        self._sizes = dict(zip(files, sizes.tolist(), strict=True))
        ends = np.cumsum(sizes)
        self._places = spread(num_places, self._rng) * self.length
        owners = np.minimum(np.searchsorted(ends, self._places, side="right"), len(files) - 1)
        self._owners = [files[owner] for owner in owners.tolist()]
        self._begins = dict(zip(files, [0.0, *ends.tolist()], strict=False))
        self._seconds = seconds / 2 / min(len(set(self._owners)), _FEW_FILES)

    def __iter__(self) -> Iterator[Drawn]:
        """Yield clusters; at any point, those drawn so far are spread evenly over the source.

        Raises:
            SourceError: The source cannot be read.
        """
        owners = np.array(self._owners)
        with LineReader(self._plan.reading, self._columns) as lines:
            opened: dict[int, _OpenedFile] = {}
            for number, (place, file) in enumerate(zip(self._places.tolist(), self._owners, strict=True)):
                numbers = np.flatnonzero(owners == file)
                inside = self._places[numbers] - self._begins[file]
                if file not in opened:
                    opened[file] = _OpenedFile(self._parts(file, lines, len(numbers)), numbers, inside)
                try:
                    cluster = opened[file].cluster(number)
                except NotLines:
                    opened[file] = _OpenedFile(self._parts(file, None, len(numbers)), numbers, inside)
                    cluster = opened[file].cluster(number)
                yield Drawn(place, file, cluster)

    def _parts(self, file: int, lines: LineReader | None, num_places: int) -> list[_Part]:
        """Return the parts of a file: row groups, ranges of lines, or the whole file read from its beginning."""
        source, size = self._plan.files[file], self._sizes[file]
        start, stop = self._rows[file]
        footer = self._plan.reader.footer(source)
        if footer is not None:
            return self._row_groups(file, footer, start, footer.num_rows if stop is None else stop)
        # If a limit cuts a file, it is unknown which lines count.
        if lines is None or self._plan.source.limit is not None or not lines.holds_lines(source):
            return [_Part(size, partial(self._from_rows, file, size, start, stop))]
        if lines.compression(source):
            return [_Part(size, partial(self._from_stream, file, lines))]
        bounds = np.linspace(0, source.size, -(-num_places // _PLACES_PER_RANGE) + 1)
        return [
            _Part(size * (high - low) / source.size, partial(self._from_lines, file, lines, low, high))
            for low, high in zip(bounds, bounds[1:], strict=False)
        ]

    def _row_groups(self, file: int, footer: FileMetaData, start: int, stop: int) -> list[_Part]:
        """Return one part per row group for rows `[start, stop)` of a Parquet file, its length by text and rows."""
        groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
        first = np.cumsum([0, *(group.num_rows for group in groups)])
        lows, highs = np.maximum(first[:-1], start), np.minimum(first[1:], stop)
        counts = np.maximum(highs - lows, 0)
        num_bytes = np.array([max(column_bytes(group, self._columns), 1) for group in groups])
        sizes = self._sizes[file] * _mixed(num_bytes * counts / np.maximum(np.diff(first), 1), counts)
        return [
            _Part(size, partial(self._from_rows, file, size, low, high))
            for size, low, high in zip(sizes.tolist(), lows.tolist(), highs.tolist(), strict=True)
            if low < high
        ]

    def _from_rows(self, file: int, size: float, start: int, stop: int | None, fractions: np.ndarray) -> list[Cluster]:
        """Draw from rows `[start, stop)` of a file, read sequentially."""
        kept: _Kept[pa.Table] = _Kept(len(fractions), self._rng)
        num_rows, until = 0, time.monotonic() + self._seconds
        is_late = False
        for table in grouped(
            self._plan.reader.tables(self._plan.files[file], start, stop, self._columns), self._texts, CLUSTER
        ):
            num_rows += len(table)
            kept.offer(table, int(self._texts.num_bytes(table).sum()))
            is_late = time.monotonic() > until
            if is_late:
                break
        is_beginning = is_late and num_rows + start != stop
        if is_beginning and stop is None:  # not even the number of rows is known
            planned = self._plan.num_bytes * size / self.length
            size *= min(kept.num_bytes / planned, 1.0) if planned and kept.num_bytes else 1.0
        elif is_beginning and stop is not None:
            size *= num_rows / (stop - start)
        is_measured = not is_beginning or stop is not None
        nothing = Cluster(self._none, np.zeros(0), 0.0, num_rows / size, is_beginning, is_measured)
        return [
            nothing._replace(table=_copied(table), shares=np.ones(len(table)), scale=kept.num_bytes / num_bytes / size)
            for table, num_bytes in kept.at(fractions)
        ] or [nothing] * len(fractions)

    def _from_stream(self, file: int, lines: LineReader, fractions: np.ndarray) -> list[Cluster]:
        """Draw from the lines of a compressed file."""
        kept: _Kept[list[bytes]] = _Kept(len(fractions), self._rng)
        num_rows, until = 0, time.monotonic() + self._seconds
        source = self._plan.files[file]
        with lines.opened(source) as (stream, stored):
            is_late = False
            while not is_late and (group := lines.next_lines(stream, CLUSTER.num_bytes)):
                num_rows += len(group)
                kept.offer(group, sum(map(len, group)))
                is_late = time.monotonic() > until
            is_beginning = is_late and bool(stream.read(1))
            size = self._sizes[file] * (stored.tell() / source.size if is_beginning else 1)
        drawn = kept.at(fractions)
        tables = lines.tables([group for group, _ in drawn])
        return [
            Cluster(table, np.ones(len(table)), kept.num_bytes / num_bytes / size, num_rows / size, is_beginning)
            for table, (_, num_bytes) in zip(tables, drawn, strict=True)
        ]

    def _from_lines(
        self, file: int, lines: LineReader, low: float, high: float, fractions: np.ndarray
    ) -> list[Cluster]:
        """Draw lines around places in bytes `[low, high)` of a file."""
        source = self._plan.files[file]
        # Places are on a grid, so that a place near the end of the file has the same weight as others.
        grid, owners = np.unique((low + fractions * (high - low)) // CLUSTER.num_bytes, return_inverse=True)
        begins = grid.astype(np.int64) * CLUSTER.num_bytes
        ends = np.minimum(begins + CLUSTER.num_bytes, source.size)
        with lines.opened(source) as (stream, _):
            windows = [lines.window(stream, *bounds) for bounds in zip(begins.tolist(), ends.tolist(), strict=True)]
        # Places in the same long line lead to the same row.
        distinct = {(window.start, len(window.lines)): window.lines for window in windows}
        known = dict(zip(distinct, lines.tables(list(distinct.values())), strict=True))
        tables = [known[window.start, len(window.lines)] for window in windows]
        lengths = (ends - begins) / source.size * self._sizes[file]
        drawn = [
            Cluster(table, window.shares, 1 / length, float(window.shares.sum()) / length)
            for table, window, length in zip(tables, windows, lengths.tolist(), strict=True)
        ]
        return [drawn[owner] for owner in owners]


class _OpenedFile:
    """A file that is read part by part; a part is read when one of its places is first requested.

    Args:
        parts: Parts of the file.
        numbers: Numbers of the places in the file.
        inside: These places, in bytes from the beginning of the file.
    """

    def __init__(self, parts: Sequence[_Part], numbers: np.ndarray, inside: np.ndarray) -> None:
        self._parts = parts
        order = np.argsort(inside)
        self._numbers, inside = numbers[order], inside[order]
        ends = np.cumsum([part.size for part in parts])
        self._owners = np.minimum(np.searchsorted(ends, inside, side="right"), len(parts) - 1)
        begins = np.concatenate([[0.0], ends[:-1]])[self._owners]
        sizes = np.array([part.size for part in parts])[self._owners]
        self._fractions = np.minimum((inside - begins) / sizes, np.nextafter(1, 0))
        self._clusters: dict[int, Cluster] = {}

    def cluster(self, number: int) -> Cluster:
        """Return the cluster at a place."""
        if number not in self._clusters:
            [at] = np.flatnonzero(self._numbers == number)
            chosen = self._owners == self._owners[at]
            drawn = self._parts[self._owners[at]].draw(self._fractions[chosen])
            self._clusters |= dict(zip(self._numbers[chosen].tolist(), drawn, strict=True))
        return self._clusters.pop(number)


class _Kept(Generic[Item]):
    """Keeps a sample of a sequence of any length: spread evenly over it, with probability proportional to size.

    An item is kept if it contains a byte drawn in one of the equal stretches. If there are too many, stretches are
    merged in pairs, and one item of each pair is kept.

    Args:
        count: Minimum number of kept items; the same one may count several times if there are few or large ones.
        rng: Random number generator for drawing bytes.

    Attributes:
        num_bytes: Bytes of all items.
    """

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self._limit = 4 * max(count, _KEPT)
        self._rng = rng
        self._stretch = 1.0  # at first, so that no item is too small to be kept
        self._next = rng.random()
        self._kept: list[tuple[Item, int]] = []
        self.num_bytes = 0

    def offer(self, item: Item, num_bytes: int) -> None:
        """Add the next item of the sequence."""
        self.num_bytes += num_bytes
        while self._next < self.num_bytes:
            self._kept.append((item, num_bytes))
            if len(self._kept) == self._limit:
                left = self._rng.integers(2, size=self._limit // 2) + np.arange(0, self._limit, 2)
                self._kept = [self._kept[index] for index in left]
                self._stretch *= 2
            self._next = (len(self._kept) + self._rng.random()) * self._stretch

    def at(self, fractions: np.ndarray) -> list[tuple[Item, int]]:
        """Return items and their sizes in bytes, at fractions of the sequence; empty if it has no bytes."""
        if not self._kept:
            return []
        return [self._kept[int(fraction * len(self._kept))] for fraction in fractions]


def _copied(table: pa.Table) -> pa.Table:
    """Copy the rows into their own memory: a slice keeps the whole table that it was cut from."""
    return table.take(np.arange(len(table)))


def spread(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random numbers in [0, 1), spread evenly: of the first 2**m, each of 2**m equal stretches contains one.

    Unlike equidistant numbers, these deviate from a trend no more than their neighbours differ from each other.
    """
    numbers = rng.random(1)
    while len(numbers) < count:
        num_stretches = 2 * len(numbers)
        empty = (numbers * num_stretches).astype(np.int64) ^ 1
        numbers = np.concatenate([numbers, (empty + rng.random(len(numbers))) / num_stretches])
    return numbers[:count]


def _mixed(num_bytes: np.ndarray, num_rows: np.ndarray) -> np.ndarray:
    """Return fractions of the total, half by bytes and half by rows; items without rows get 0."""
    if not num_rows.sum():
        return num_bytes / num_bytes.sum()
    num_bytes = num_bytes * (num_rows > 0)
    return (num_bytes / num_bytes.sum() + num_rows / num_rows.sum()) / 2


def _planned_rows(plan: Plan) -> dict[int, tuple[int, int | None]]:
    """Return the rows `[start, stop)` of each nonempty file that are in a shard."""
    rows: dict[int, tuple[int, int | None]] = {}
    for shard in plan.shards:
        for file, start, stop in shard.pieces:
            if plan.files[file].size:
                rows[file] = (rows.get(file, (start, stop))[0], stop)
    return rows
