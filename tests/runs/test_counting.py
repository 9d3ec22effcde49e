"""The number of tokens of a source: exact if everything is read, otherwise with a 95 % interval.

`HF_TOEDIT_EXAMPLES` sets how often each source is estimated; the default is fast. `--log-cli-level INFO` shows how
often the intervals contain the true value.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.counting import Effort, count_tokens
from hf_toedit.runs.intervals import Quantity, half_width, t_quantile
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.planning import make_plan
from hf_toedit.runs.sampling import spread
from hf_toedit.sources.source import open_source
from hf_toedit.tasks.edit import EditTask
from tests.editing.tokenizers import tokenizer
from tests.shared import texts

logger = logging.getLogger(__name__)

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", 8))
SAMPLE = Effort(all_bytes=0, num_places=64, seconds=math.inf)
"""Far less effort than by default, so that intervals are wide enough for errors to show."""

SIZE = 2_500_000


def plan_of(source: Path | str, **settings: object) -> Plan:
    """Return a plan as the command line makes it."""
    config = SourceConfig(str(source), **settings)  # type: ignore[arg-type]
    opened = open_source(config)
    columns = Texts(config).columns(opened.features)
    return make_plan(
        source_config=config,
        source_revision=opened.revision,
        reading=opened.reading,
        extents={split: opened.extents(split, columns, limit=config.limit) for split in opened.splits},
        task=EditTask(PriorConfig(), EditConfig(), RunConfig(), "0" * 40),
        version="0",
    )


@dataclass(frozen=True)
class Pool:
    """Real texts of many scripts and lengths.

    Attributes:
        documents: Documents of one to two hundred thousand bytes, those with the fewest tokens per byte first.
        counts: Number of tokens of each document.
    """

    documents: list[str]
    counts: dict[str, int]

    def rows(self, rng: np.random.Generator, num_bytes: int = SIZE, longest: int = 20_000) -> list[str]:
        """Return some of the documents in the order of their script, many times repeated."""
        sizes = np.array([len(document.encode()) for document in self.documents])
        usable = np.flatnonzero(sizes <= longest)
        drawn = rng.choice(usable, num_bytes // 100)
        enough = int(np.searchsorted(np.cumsum(sizes[drawn]), num_bytes)) + 1
        return [self.documents[index] for index in np.sort(drawn[:enough])]

    def count(self, table: pa.Table) -> np.ndarray:
        """Count the tokens of each row."""
        return np.array([self.counts[text] for text in table["text"].to_pylist()], np.int64)

    def total(self, rows: Sequence[str]) -> int:
        """Count the tokens of all rows."""
        return sum(self.counts[row] for row in rows)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Return stories, code, problems in seven languages, and a declaration in a hundred more, with GPT-2 counts."""
    told = texts("synthetic_tinystories_500")[:150]
    declared = texts("multilingual_udhr2")[:60]
    others = [*texts("multilingual_mgsm")[::10], *texts("code_humaneval")[:60], *texts("awkward_emoji")]
    long = ["\n".join(told[:100]) * 2, declared[3] * 6, declared[41] * 4]
    documents = [text for text in [*told, *declared, *others, *long] if text]
    encoded = tokenizer("gpt2").encode_batch(documents, add_special_tokens=False)
    counts = {document: len(encoding) for document, encoding in zip(documents, encoded, strict=True)}
    return Pool(sorted(documents, key=lambda text: counts[text] / len(text.encode())), counts)


def _lines(rows: Sequence[str]) -> str:
    return "".join(
        json.dumps({"id": number, "text": row}, ensure_ascii=number % 2 == 0) + "\n" for number, row in enumerate(rows)
    )


def _cut(rows: Sequence[str], count: int, rng: np.random.Generator) -> Iterator[tuple[str, Sequence[str]]]:
    """Write files of rows, from tiny to large, in the order of the rows."""
    sizes = rng.pareto(1.2, count) + 0.05
    bounds = np.round(np.cumsum(np.concatenate([[0], sizes])) / sizes.sum() * len(rows)).astype(int).tolist()
    for number, (start, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
        if start < stop:
            yield f"{number:04d}", rows[start:stop]


def _one_file(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    (folder / "rows.jsonl").write_text(_lines(rows), encoding="utf-8")
    return folder / "rows.jsonl"


def _shuffled(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    return _one_file([rows[index] for index in rng.permutation(len(rows))], folder, rng)


def _many_files(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    for name, part in _cut(rows, 150, rng):
        (folder / f"{name}.jsonl").write_text(_lines(part), encoding="utf-8")
    return folder


def _compressed(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    with gzip.open(folder / "rows.jsonl.gz", "wt", 1, encoding="utf-8") as file:
        file.write(_lines(rows))
    return folder / "rows.jsonl.gz"


def _many_compressed(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    for name, part in _cut(rows, 40, rng):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", 1, encoding="utf-8") as file:
            file.write(_lines(part))
    return folder


def _row_groups(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    for name, part in _cut(rows, 12, rng):
        pq.write_table(pa.table({"id": range(len(part)), "text": part}), folder / f"{name}.parquet", row_group_size=150)
    return folder


def _table(rows: Sequence[str], folder: Path, rng: np.random.Generator) -> Path:
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "more"], *([row, "x" * 50] for row in rows)])
    return folder / "rows.csv"


WRITERS = (_one_file, _shuffled, _many_files, _compressed, _many_compressed, _row_groups, _table)


@pytest.mark.parametrize("longest", [2_000, 200_000])
@pytest.mark.parametrize("write", WRITERS)
def test_intervals_hold(
    write: Callable[[Sequence[str], Path, np.random.Generator], Path], longest: int, pool: Pool, tmp_path: Path
) -> None:
    """This includes rows in the order of their scripts, where the first rows are not representative."""
    rng = np.random.default_rng([longest, WRITERS.index(write)])
    rows = pool.rows(rng, longest=longest)
    plan, tokens = plan_of(write(rows, tmp_path, rng)), pool.total(rows)
    found = [count_tokens(plan, pool.count, SAMPLE, seed) for seed in range(EXAMPLES)]
    assert not any(counted.is_exact or counted.from_beginnings for counted in found)
    held = sum(_holds(counted.num_tokens, tokens) for counted in found)
    rows_held = sum(_holds(counted.num_rows, len(rows)) for counted in found)
    errors = np.array([counted.num_tokens.value / tokens - 1 for counted in found])
    widths = np.array([(counted.num_tokens.half or math.nan) / tokens for counted in found])
    logger.info(
        "%s, %d: %d and %d of %d hold; half width %.2f %%, error %+.2f %% on average, %.2f %% standard deviation",
        *(write.__name__, longest, held, rows_held, EXAMPLES),
        *(100 * np.array([np.median(widths), errors.mean(), errors.std()])),
    )
    assert min(held, rows_held) >= 0.9 * EXAMPLES - 1
    assert 0 < np.median(widths) < 0.12
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(EXAMPLES)


def _holds(quantity: Quantity, value: int) -> bool:
    assert quantity.low is not None
    assert quantity.high is not None
    return round(quantity.low, 6) <= value <= round(quantity.high, 6)


def test_a_small_source_is_counted_whole(pool: Pool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pool.rows(rng, 200_000)
    for write in WRITERS:
        (tmp_path / write.__name__).mkdir()
        plan = plan_of(write(rows, tmp_path / write.__name__, rng))
        counted = count_tokens(plan, pool.count)
        assert counted.num_tokens == (pool.total(rows),) * 3
        assert counted.num_rows == (len(rows),) * 3
        assert (counted.is_exact, counted.sampled_rows) == (True, len(rows))
        assert counted.sampled_files == len(plan.files)


def test_a_small_source_that_unpacks_to_a_large_one_is_sampled(tmp_path: Path, pool: Pool) -> None:
    """Planning assumes that compressed data expands by a factor of three."""
    rows = [pool.documents[0]] * 3000
    plan = plan_of(_compressed(rows, tmp_path, np.random.default_rng(0)))
    counted = count_tokens(plan, pool.count, Effort(all_bytes=plan.num_bytes, num_places=64, seconds=math.inf))
    assert not counted.is_exact
    assert counted.num_tokens.value == pytest.approx(pool.total(rows), rel=0.01)


def test_the_beginning_of_one_file_says_nothing_of_its_rest(pool: Pool, tmp_path: Path) -> None:
    """A compressed file can only be read from its beginning. Without time, only its first few rows are read."""
    rng = np.random.default_rng(1)
    rows = pool.rows(rng)
    hurried = Effort(all_bytes=0, num_places=64, seconds=0)
    one = count_tokens(plan_of(_compressed(rows, tmp_path, rng)), pool.count, hurried)
    assert one.from_beginnings
    assert (one.num_tokens.low, one.num_tokens.high, one.num_rows.low) == (None, None, None)
    (tmp_path / "many").mkdir()
    plan = plan_of(_many_compressed(rows, tmp_path / "many", rng))
    many = count_tokens(plan, pool.count, hurried)
    assert many.num_tokens.low is not None
    assert many.sampled_files == 2
    assert many.num_tokens.half > many.num_tokens.value / 2  # Student's t of one difference


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.json", lambda rows: json.dumps([{"text": row} for row in rows])),
        ("rows.jsonl", lambda rows: _lines(rows).replace("\n", "\n\n \n")),
        ("rows.jsonl", lambda rows: _lines(rows).replace("\n", "\r\n").removesuffix("\r\n")),
        ("rows.txt", lambda rows: "\n".join(row.replace("\n", " ") for row in rows)),
        ("rows.txt", lambda rows: "\r".join(row.replace("\n", " ") for row in rows)),
    ],
)
def test_lines_that_are_no_rows(name: str, content: Callable[[Sequence[str]], str], pool: Pool, tmp_path: Path) -> None:
    """Arrays, blank lines, and line ends other than those of JSON Lines: rows are those that the run reads."""
    rows = pool.rows(np.random.default_rng(2), 600_000, longest=2_000)
    (tmp_path / name).write_text(content(rows), encoding="utf-8", newline="")
    plan = plan_of(tmp_path / name)

    def count(table: pa.Table) -> np.ndarray:
        return np.array([len(text) for text in table["text"].to_pylist()])

    exact = count_tokens(plan, count)
    counted = count_tokens(plan, count, SAMPLE)
    assert _holds(counted.num_rows, round(exact.num_rows.value))
    assert _holds(counted.num_tokens, round(exact.num_tokens.value))


@pytest.mark.parametrize("write", [_one_file, _row_groups, _compressed])
def test_texts_as_long_as_libraries_are_counted_by_parts(
    write: Callable[[Sequence[str], Path, np.random.Generator], Path], tmp_path: Path
) -> None:
    """The two halves of the text differ."""
    rng = np.random.default_rng(8)
    rows = [
        "a b c d e f " * 100_000 + "letters, not words" * 60_000,
        *["one two three four"] * 2000,
        "words " * 200_000,
    ]
    longest = 0

    def count(table: pa.Table) -> np.ndarray:
        nonlocal longest
        found = table["text"].to_pylist()
        longest = max(longest, *map(len, found))
        return np.array([text.count(" ") for text in found])

    plan = plan_of(write(rows, tmp_path, rng))
    held = [count_tokens(plan, count, SAMPLE, seed) for seed in range(EXAMPLES)]
    assert longest < 600_000
    spaces = sum(row.count(" ") for row in rows)
    assert sum(_holds(counted.num_tokens, spaces) for counted in held) >= 0.9 * EXAMPLES - 1
    assert all(counted.num_tokens.value == pytest.approx(spaces, rel=0.3) for counted in held)


@pytest.mark.parametrize("write", [_one_file, _row_groups, _compressed])
def test_rows_beyond_a_limit_do_not_count(
    write: Callable[[Sequence[str], Path, np.random.Generator], Path], pool: Pool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    rows = pool.rows(rng, 1_000_000, longest=2_000)
    limit = len(rows) // 3
    counted = count_tokens(plan_of(write(rows, tmp_path, rng), limit=limit), pool.count, SAMPLE)
    assert counted.num_rows == (limit,) * 3
    assert _holds(counted.num_tokens, pool.total(rows[:limit]))


@pytest.mark.parametrize("write", [_one_file, _row_groups, _compressed])
def test_files_in_storage_are_sampled_as_well(
    write: Callable[[Sequence[str], Path, np.random.Generator], Path], pool: Pool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    rows = pool.rows(rng, 1_000_000, longest=2_000)
    plan = plan_of(f"local://{write(rows, tmp_path, rng)}", columns=("text",))
    counted = count_tokens(plan, pool.count, SAMPLE)
    assert _holds(counted.num_tokens, pool.total(rows))


def test_all_splits_count_and_empty_files_do_no_harm(pool: Pool, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = pool.rows(rng, 600_000, longest=2_000)
    (tmp_path / "train.jsonl").write_text(_lines(rows[:100]), encoding="utf-8")
    (tmp_path / "train-2.jsonl").touch()
    (tmp_path / "test.jsonl").write_text(_lines(rows[100:]), encoding="utf-8")
    plan = plan_of(tmp_path)
    assert len(plan.splits) == 2
    assert count_tokens(plan, pool.count).num_tokens.value == pool.total(rows)
    assert _holds(count_tokens(plan, pool.count, SAMPLE).num_tokens, pool.total(rows))


def test_half_width() -> None:
    """The interval of the mean of normal values has its stated coverage; a slow trend does not widen it."""
    rng = np.random.default_rng(5)
    for count in (2, 3, 5, 12, 100):
        even = np.full(count, 1 / count)
        values = rng.normal(size=(4000, count))
        held = np.mean([abs(row.mean()) <= (half_width(row, even) or 0) for row in values])
        assert 0.93 < held < 0.99, count
    trend = np.linspace(0, 1, 100)
    assert (half_width(trend, np.full(100, 0.01)) or 0) < 0.002
    assert half_width(np.array([1.0]), np.array([1.0])) is None
    # A value that was sampled as often as all others together has the same weight.
    assert half_width(np.array([0.0, 1, 0]), np.array([0.25, 0.5, 0.25])) == pytest.approx(
        4.27 * 0.75**0.5 * 0.375 * 2**0.5, rel=0.3
    )


def test_quantiles_of_students_t() -> None:
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980}
    for freedom, quantile in table.items():
        assert t_quantile(freedom) == pytest.approx(quantile, rel=0.01)


def test_spread_numbers_fill_equal_stretches() -> None:
    numbers = spread(100, np.random.default_rng(6))
    for count in (1, 2, 16, 64):
        assert sorted((numbers[:count] * count).astype(int)) == list(range(count))
    many = np.array([spread(3, np.random.default_rng(seed)) for seed in range(2000)])
    assert many.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.03)
