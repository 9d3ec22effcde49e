"""The stages of a run overlap, in order, in bounded memory, and an error is raised where the result is awaited."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from hf_toedit import ToEditor
from hf_toedit.config import TextConfig
from hf_toedit.rows.rows import EDIT_BATCH, edit_table, grouped
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.pipeline import ahead
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit_rows import edited_batches

TEXTS = Texts(TextConfig())


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


@pytest.mark.parametrize("size", [1, 2, 5])
def test_results_come_in_order_and_no_further_ahead_than_asked(pool: ThreadPoolExecutor, size: int) -> None:
    drawn = []

    def items() -> Iterator[int]:
        for number in range(20):
            drawn.append(number)
            yield number

    for taken, result in enumerate(ahead(lambda number: number**2, items(), pool, size)):
        assert result == taken**2
        assert len(drawn) <= taken + 1 + size
    assert len(drawn) == 20


def test_an_item_is_worked_on_while_the_one_before_it_is_awaited(pool: ThreadPoolExecutor) -> None:
    other = threading.Event()

    def work(number: int) -> bool:
        if number == 1:
            other.set()
        return other.wait(60)  # the first is done only after the second has begun

    assert list(ahead(work, [0, 1], pool, 1)) == [True, True]


def test_a_failure_comes_in_its_turn_and_stops_what_has_not_begun() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    with ThreadPoolExecutor(1) as pool:
        results = ahead(work, range(100), pool, 3)
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            next(results)
    assert len(begun) < 8


def test_a_failing_source_comes_through(pool: ThreadPoolExecutor) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    results = ahead(str, items(), pool, 5)
    with pytest.raises(OSError, match="gone"):
        list(results)


def test_tables_are_edited_as_one_by_one() -> None:
    editor = ToEditor.from_pretrained("embedded", threshold=0.3, temperature=4.0)
    rows = pa.table({"text": [*(f"{number} cats sat on the mat." for number in range(2300)), None, ""]})
    apart = [edit_table(editor, table, TEXTS, "toedit", 1) for table in grouped([rows], TEXTS, EDIT_BATCH)]
    batches = list(edited_batches(editor, [rows], TEXTS, "toedit", 1))
    together = [(batch.table(), batch.kept.statistics) for batch in batches]
    assert len(apart) == 3
    for (table, stats), (expected, counted) in zip(together, apart, strict=True):
        assert table.equals(expected)
        assert {**stats.to_json(), "seconds": None} == {**counted.to_json(), "seconds": None}
    total = EditStats.merged(stats for _, stats in together)
    assert (total.num_rows, total.num_documents) == (2302, 2302)
    assert total.num_changed > 100
