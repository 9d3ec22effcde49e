"""Rows of planned files: any range, in bounded tables, with clear errors if a file has changed."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError
from hf_toedit.sources.model import FileExtent
from hf_toedit.sources.reading import RowReader
from hf_toedit.sources.source import Source, open_source
from tests.cli.fixtures import rows, stories

ROWS = 50


def _parquet(path: Path) -> None:
    dataset = rows([f"text {index}" for index in range(ROWS)])
    with pq.ParquetWriter(path, dataset.features.arrow_schema) as writer:
        for start in range(0, ROWS, 20):
            writer.write_table(dataset.with_format("arrow")[start : start + 20])


def _lines(path: Path) -> None:
    lines = "".join(json.dumps({"text": f"text {index}", "n": index}) + "\n" for index in range(ROWS)).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)


def _opened(path: Path) -> Source:
    (_parquet if path.suffix == ".parquet" else _lines)(path)
    return open_source(SourceConfig(str(path)))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz"])
def test_any_range_of_rows_and_columns(name: str, tmp_path: Path) -> None:
    source = _opened(tmp_path / name)
    [file] = source.splits["train"]
    whole = pa.concat_tables(source.tables("train"))
    assert len(whole) == ROWS
    borders = [0, 1, 20, 39, 50]
    for start, stop in [(start, stop) for start in borders for stop in borders if start <= stop] + [(20, None)]:
        tables = list(source.reader.tables(file, start, stop))
        expected = whole.slice(start, None if stop is None else stop - start)
        assert pa.concat_tables([whole.slice(0, 0), *tables]).equals(expected)
    [*tables] = source.reader.tables(file, 15, 25, columns=["text"])
    assert pa.concat_tables(tables).to_pydict() == {"text": [f"text {index}" for index in range(15, 25)]}
    assert tables[0].schema.metadata.keys() == {b"huggingface"}
    limited = [len(table) for table in source.tables("train", 21)]
    assert sum(limited) == 21


def test_a_reader_needs_nothing_but_the_plan(tmp_path: Path) -> None:
    source = _opened(tmp_path / "a.jsonl")
    reader = RowReader(type(source.reading)(**json.loads(json.dumps(vars(source.reading)))))
    assert [row for table in reader.tables(source.splits["train"][0]) for row in table.column("n").to_pylist()] == [
        *range(ROWS)
    ]


def test_tables_of_large_columns_are_small(tmp_path: Path) -> None:
    blobs = [os.urandom(2**20)] * 100
    pq.write_table(pa.table({"text": ["a"] * 100, "blob": blobs}), tmp_path / "a.parquet", use_dictionary=False)
    source = open_source(SourceConfig(str(tmp_path / "a.parquet")))
    sizes = [table.nbytes for table in source.tables("train")]
    assert sum(sizes) > 100 * 2**20 and max(sizes) <= 32 * 2**20
    assert [len(table) for table in source.tables("train", columns=["text"])] == [100]
    [extent] = source.extents("train", ["text"])
    assert extent.num_bytes < 2**20


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
@pytest.mark.parametrize(
    ("change", "expected"), [(os.remove, "is missing"), (_truncate, "has changed"), (_rewrite, "has changed")]
)
def test_files_that_are_not_as_planned(
    name: str, change: Callable[[Path], None], expected: str, tmp_path: Path
) -> None:
    source = _opened(tmp_path / name)
    change(tmp_path / name)
    with pytest.raises(SourceError, match=f"{name} {expected}.*new run"):
        list(source.tables("train"))


@pytest.mark.parametrize("name", ["1.parquet", "1.jsonl", "1.jsonl.gz"])
def test_damaged_files_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    _opened(path)
    data = bytearray(path.read_bytes())
    if name == "1.jsonl":
        data[len(data) // 2 :] = b'{"text": \n'
    else:
        data[len(data) // 4 :] = os.urandom(20) + data[len(data) // 4 + 20 :]
    path.with_name(name.replace("1", "2")).write_bytes(data)
    source = open_source(SourceConfig(str(tmp_path / name.replace("1", "*"))))
    with pytest.raises(SourceError, match=f"cannot read .*{name.replace('1', '2')}.* Fix the file"):
        list(source.tables("train"))


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").write_text('{"text": "a", "n": 1}\n')
    for name, row, expected in (
        ("1.jsonl", {"text": "a", "n": "many"}, "'n' holds string, not int64"),
        ("1.jsonl", {"text": "a", "extra": 1}, "'extra' holds int64, and is not a column of the source"),
    ):
        (tmp_path / name).write_text(json.dumps(row))
        with pytest.raises(SourceError, match=f"{name} has rows that do not fit the source.*{expected}"):
            list(open_source(SourceConfig(str(tmp_path / "*.jsonl"))).tables("train"))
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"text": ["a"], "n": [[1]]}), tmp_path / "1.parquet")
    with pytest.raises(SourceError, match="1.parquet has rows that do not fit the source.*'n' holds list, not int64"):
        list(open_source(SourceConfig(str(tmp_path / "*.parquet"))).tables("train"))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_fewer_rows_than_planned(name: str, tmp_path: Path) -> None:
    source = _opened(tmp_path / name)
    [file] = source.splits["train"]
    with pytest.raises(SourceError, match=f"{name}.*rows"):
        list(source.reader.tables(file, 10, ROWS + 1))


class TestExtents:
    """Facts about the files that planning determines."""

    def test_parquet(self, tmp_path: Path) -> None:
        source = _opened(tmp_path / "a.parquet")
        [extent] = source.extents("train", ["text", "body"])
        assert (extent.num_rows, extent.row_groups) == (ROWS, (0, 20, 40))
        assert 400 < extent.num_bytes < source.extents("train", list(source.features))[0].num_bytes
        [cut] = source.extents("train", ["text"], limit=21)
        assert (cut.num_rows, cut.row_groups) == (21, (0, 20))

    def test_only_files_that_must_be_cut_are_counted(self, tmp_path: Path) -> None:
        for index, count in enumerate((3, 0, 200)):
            lines = [json.dumps({"text": story, "n": 1}) for story in stories(200)[:count]]
            (tmp_path / f"{index}.jsonl").write_text("\n".join(lines))
        source = open_source(SourceConfig(str(tmp_path / "*.jsonl")))
        size = (tmp_path / "2.jsonl").stat().st_size

        def facts(extents: list[FileExtent]) -> list[tuple[str, int | None]]:
            return [(extent.file.path, extent.num_rows) for extent in extents]

        uncounted = source.extents("train", ["text"])
        assert facts(uncounted) == [("0.jsonl", None), ("1.jsonl", 0), ("2.jsonl", None)]
        assert 0.8 * size < uncounted[2].num_bytes < size
        for how in ({"shard_bytes": size // 2}, {"num_shards": 3}):
            counted = source.extents("train", ["text"], **how)
            assert facts(counted) == [("0.jsonl", None), ("1.jsonl", 0), ("2.jsonl", 200)]
        assert facts(source.extents("train", ["text"], limit=5)) == [("0.jsonl", 3), ("1.jsonl", 0), ("2.jsonl", 2)]
        assert facts(source.extents("train", ["text"], limit=3)) == [("0.jsonl", 3)]

    def test_many_files_are_not_opened(self, tmp_path: Path) -> None:
        table = pa.table({"text": stories(3)})
        pq.write_table(table, tmp_path / "00000.parquet")
        for index in range(1, 1500):
            os.link(tmp_path / "00000.parquet", tmp_path / f"{index:05}.parquet")
        extents = open_source(SourceConfig(str(tmp_path))).extents("train", ["text"])
        assert len(extents) == 1500
        assert sum(extent.num_rows is not None for extent in extents) == 20
        assert len({extent.num_bytes for extent in extents}) == 1


def test_web_dataset_rows_whose_fields_differ(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    texts = [f"text {index}" if index != 7 else None for index in range(30)]
    with tarfile.open(path, "w") as archive:
        for index, text in enumerate(texts):
            fields = {"txt": text, "json": json.dumps({"n": index})}
            for ending, field in fields.items():
                if field is not None:
                    entry = tarfile.TarInfo(f"{index:02}.{ending}")
                    entry.size = len(field)
                    archive.addfile(entry, io.BytesIO(field.encode()))
    source = open_source(SourceConfig(str(path)))
    rows = pa.concat_tables(source.tables("train"))
    assert rows["txt"].to_pylist() == texts
    assert rows["json"].to_pylist() == [{"n": index} for index in range(30)]
