"""Every kind of source: its rows are those that `datasets` reads, and editing changes only its texts."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
import zstandard
from datasets import Dataset, DatasetDict, Features, List, Value, load_dataset, load_dataset_builder, load_from_disk

from hf_toedit import sample
from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.sources.model import SourceFile
from hf_toedit.sources.resolve import resolve
from hf_toedit.sources.source import open_source
from tests.cli.command import HfToEdit
from tests.cli.fixtures import ODD, load, rows, same, stories
from tests.s3_server import BUCKET, S3Server

Made = tuple[object, DatasetDict]
"""The source for the command, and the arguments with which `datasets` reads it."""


def _lines(path: Path, compress: Callable[[bytes], bytes] = bytes) -> Made:
    table = [{"text": text, "n": number, "tags": ["x"]} for number, text in enumerate(stories(4))]
    path.write_bytes(compress("".join(json.dumps(row) + "\n" for row in table).encode()))
    return path, _read("json", path)


def _array(path: Path) -> Made:
    path.write_text(json.dumps([{"text": text, "n": None} for text in stories(3)], indent=1), encoding="utf-8")
    return path, _read("json", path)


def _zipped(path: Path) -> Made:
    lines, _ = _lines(path.with_suffix(".jsonl"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(str(lines), "rows.jsonl")
    return path, _read("json", path)


def _table(path: Path, separator: str) -> Made:
    dataset = Dataset.from_dict({"n": [0, 1, 2], "text": stories(3), "comma": ["a,b", 'quo"te', "tab\tand\nline"]})
    dataset.to_csv(path, sep=separator, index=False)
    return path, _read("csv", path, sep=separator)


def _compressed_table(path: Path) -> Made:
    _, source = _table(path, "\t")
    compressed = path.with_name("b.tsv.gz")
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    return compressed, source


def _text(path: Path) -> Made:
    path.write_text("\n".join(" ".join(story.split()) for story in stories(3)) + "\n", encoding="utf-8")
    return path, _read("text", path)


def _glob(folder: Path) -> Made:
    for name, start in (("b", 0), ("a", 2)):
        rows(stories(4)[start : start + 2]).to_parquet(folder / f"{name}.parquet")
    return folder / "*.parquet", _read("parquet", folder / "a.parquet", folder / "b.parquet")


def _configured(folder: Path) -> Made:
    folder.mkdir()
    configs = "{config_name: rows, data_files: rows.csv, sep: ';', default: true}, {config_name: b, data_files: b.csv}"
    (folder / "README.md").write_text(f"---\nconfigs: [{configs}]\n---\n")
    for name in ("rows.csv", "b.csv"):
        (folder / name).write_text(f"text;n\n{name};1\n")
    return folder, load_dataset(str(folder), "rows", cache_dir=f"{folder}.cache")


def _folder(folder: Path) -> Made:
    for split, count in (("train", 3), ("test", 2)):
        rows(stories(count)).to_parquet(folder / f"data/{split}-00000-of-00001.parquet")
    return folder, load_dataset(str(folder), cache_dir=f"{folder}.cache")


def _saved(folder: Path) -> Made:
    rows(stories(3)).save_to_disk(folder)
    return folder, DatasetDict({"train": load_from_disk(folder)})


def _saved_splits(folder: Path) -> Made:
    DatasetDict({"test": rows(stories(2)), "train": rows(stories(3))}).save_to_disk(folder)
    return folder, load_from_disk(folder)


def _categories(path: Path) -> Made:
    kinds = pa.array(["a", None, "a"]).dictionary_encode()
    pq.write_table(pa.table({"kind": kinds, "text": pa.array(stories(3)).cast(pa.large_string())}), path)
    return path, _read("parquet", path)


def _every_column(path: Path) -> Made:
    rows([*stories(3), *ODD]).to_parquet(path)
    return path, _read("parquet", path)


def _sample(folder: Path) -> Made:
    return "sample", _read("parquet", Path(shutil.copy(sample.path(), folder)))


def _read(kind: str, *files: Path, **options: str) -> DatasetDict:
    return load_dataset(kind, data_files=[str(file) for file in files], cache_dir=f"{files[0]}.cache", **options)


KINDS: dict[str, Callable[[Path], Made]] = {
    "jsonl": lambda folder: _lines(folder / "a.jsonl"),
    "jsonl.gz": lambda folder: _lines(folder / "a.jsonl.gz", gzip.compress),
    "jsonl.zst": lambda folder: _lines(folder / "a.jsonl.zst", zstandard.compress),
    "jsonl.bz2": lambda folder: _lines(folder / "a.jsonl.bz2", bz2.compress),
    "jsonl.xz": lambda folder: _lines(folder / "a.jsonl.xz", lzma.compress),
    "zip": lambda folder: _zipped(folder / "a.zip"),
    "json array": lambda folder: _array(folder / "a.json"),
    "csv": lambda folder: _table(folder / "a.csv", ","),
    "tsv": lambda folder: _table(folder / "a.tsv", "\t"),
    "tsv.gz": lambda folder: _compressed_table(folder / "a.tsv"),
    "text": lambda folder: _text(folder / "a.txt"),
    "glob": _glob,
    "folder": lambda folder: _folder(folder / "f"),
    "save_to_disk": lambda folder: _saved(folder / "f"),
    "save_to_disk splits": lambda folder: _saved_splits(folder / "f"),
    "every kind of column": lambda folder: _every_column(folder / "a.parquet"),
    "folder with configs": lambda folder: _configured(folder / "f"),
    "dictionary-encoded": lambda folder: _categories(folder / "a.parquet"),
    "sample": _sample,
}


def check_only_texts_changed(source: DatasetDict, run: Path) -> None:
    """Check that only texts changed, that some did, and that rows without an edit equal those of the source."""
    edited = load(run)
    assert list(edited) == list(source)
    for split, before in source.items():
        after = edited[split]
        assert list(after.features) == [*before.features, "toedit"]
        assert same(after.remove_columns(["toedit", "text"]), before.remove_columns("text"))
        assert after.features["text"] == before.features["text"]
        logs = after["toedit"]
        assert [log["edits"] != [] for log in logs] == [
            old != new for old, new in zip(before["text"], after["text"], strict=True)
        ]
    assert any(log["num_changed"] for rows in edited.values() for log in rows["toedit"])


def read(source: object, split: str = "train", **options: Any) -> Dataset:
    """Return the rows of a split as hf-toedit reads them."""
    opened = open_source(SourceConfig(str(source), **options))
    tables = list(opened.tables(split))
    assert all(table.schema.equals(opened.features.arrow_schema, check_metadata=True) for table in tables)
    return Dataset(pa.concat_tables(tables))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_features_are_those_of_datasets(kind: str, tmp_path: Path) -> None:
    named, source = KINDS[kind](tmp_path)
    opened = open_source(SourceConfig(str(named)))
    assert list(opened.splits) == list(source)
    assert all(same(read(named, split), source[split]) for split in source)
    assert open_source(SourceConfig(str(named))) == opened


def test_a_source_is_pinned_by_its_files(tmp_path: Path) -> None:
    path, _ = _lines(tmp_path / "a.jsonl")
    before = open_source(SourceConfig(str(path)))
    os.utime(str(path), ns=(0, 0))
    assert open_source(SourceConfig(str(path))) == before
    content = Path(str(path)).read_bytes()
    stamp = f"xxh3:{xxhash.xxh3_128_hexdigest(content)}"
    assert (before.reading.root, *before.splits["train"]) == (str(tmp_path), ("a.jsonl", len(content), stamp))
    Path(str(path)).write_bytes(content[:-2] + b" }")
    assert open_source(SourceConfig(str(path))).revision != before.revision


def test_the_fingerprint_of_the_sample_is_the_same_everywhere() -> None:
    assert open_source(SourceConfig("sample")).revision == "69bea29121384913ea05e7cbc0e0393009f20805"


def test_a_fingerprint_is_of_the_contents_in_order_and_not_of_names(tmp_path: Path) -> None:
    def revision(folder: str, **contents: str) -> str:
        (tmp_path / folder).mkdir()
        for name, content in contents.items():
            (tmp_path / folder / f"{name}.txt").write_text(content)
        return open_source(SourceConfig(str(tmp_path / folder / "*.txt"))).revision

    first = revision("first", a="1", b="2")
    assert revision("second", x="1", y="2") == first
    assert len({first, revision("third", a="2", b="1"), revision("fourth", a="12")}) == 3
    memory = fsspec.filesystem("memory")
    for name, content in (("c.txt", b"1"), ("d.txt", b"2")):
        memory.pipe_file(f"/same/{name}", content)
    assert open_source(SourceConfig("memory://same/*.txt")).revision == first


def test_an_object_of_s3_is_pinned_by_the_checksum_that_the_store_tells(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    s3.put("pinned", "a.jsonl", b'{"text": "a"}\n')
    opened = open_source(SourceConfig(f"s3://{BUCKET}/pinned/*.jsonl"))
    [file] = opened.splits["train"]
    assert file.stamp == "ETag:" + md5(b'{"text": "a"}\n').hexdigest()
    assert list(opened.tables("train"))
    s3.put("pinned", "a.jsonl", b'{"text": "b"}\n')
    fsspec.filesystem("s3").invalidate_cache()
    with pytest.raises(SourceError, match="has changed"):
        list(opened.tables("train"))


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_any_address_that_fsspec_knows(name: str, tmp_path: Path) -> None:
    path, source = (_every_column if name == "a.parquet" else _lines)(tmp_path / name)
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/rows/{name}", Path(str(path)).read_bytes())
    for address in (f"memory://rows/{name}", f"memory://rows/*{name[1:]}", f"file://{path}"):
        opened = open_source(SourceConfig(address))
        assert same(read(address), source["train"])
    opened = open_source(SourceConfig(f"memory://rows/{name}"))
    memory.pipe_file(f"/rows/{name}", Path(str(path)).read_bytes()[:-1] + b" ")
    with pytest.raises(SourceError, match="has changed"):
        list(opened.tables("train"))
    with pytest.raises(SourceError, match="cannot find"):
        open_source(SourceConfig(f"memory://rows/{name}.gone"))


@pytest.mark.parametrize(
    "names", [("{}", "more/{}"), ("train-{}", "test_{}", ".hidden/train-{}"), ("data/dev-{}-of-09999",)]
)
def test_splits_of_a_folder_of_many_files(names: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "f"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for index in range(1001):
            (folder / f"{name.format(f'{index:05}')}.txt").write_text(f"{index}")
    builder = load_dataset_builder(str(folder), cache_dir=str(tmp_path / "cache"))
    opened = open_source(SourceConfig(str(folder)))
    assert {
        split: [str(Path(opened.reading.root or "") / file.path) for file in files]
        for split, files in opened.splits.items()
    } == builder.config.data_files


def test_what_has_no_rows_beside_what_has(tmp_path: Path) -> None:
    nothing = {"text": []}
    folder = tmp_path / "f"
    Dataset.from_dict(nothing, features=Features({"text": Value("string")})).to_parquet(folder / "test.parquet")
    Dataset.from_dict({"text": ["a", "b"]}).to_parquet(folder / "train.parquet")
    assert list(open_source(SourceConfig(str(folder))).splits) == ["train"]
    with pytest.raises(SourceError, match="has no rows"):
        open_source(SourceConfig(str(folder), split="test"))
    for name, content in (("0.jsonl", b""), ("1.jsonl.gz", gzip.compress(b"")), ("2.jsonl", b'{"text": "a"}\n')):
        (tmp_path / name).write_bytes(content)
    assert read(tmp_path / "*.jsonl*")["text"] == ["a"]
    for name, content in (
        ("0.csv", b""),
        ("1.csv.gz", gzip.compress(b"")),
        ("2.csv", b"text\n"),
        ("3.csv", b"text\na"),
    ):
        (tmp_path / name).write_bytes(content)
    assert read(tmp_path / "*.csv*")["text"] == ["a"]


def test_columns_that_begin_with_nulls_are_looked_up_further_on(tmp_path: Path) -> None:
    for split, names in {"train": [None, None], "test": [None, "x"]}.items():
        for index, name in enumerate(names):
            row = {"text": "a", "name": name, "meta": {"names": [name] if name else []}}
            (tmp_path / f"{split}-{index}.jsonl").write_text(json.dumps(row))
    opened = open_source(SourceConfig(str(tmp_path)))
    string = Value("string")
    assert opened.features == {"text": string, "name": string, "meta": {"names": List(string)}}
    assert read(tmp_path, "test")["name"] == [None, "x"]


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"split": "tran"}, SourceError, "has no split 'tran'. Did you mean 'train'?"),
        ({"config_name": "nope"}, SourceError, "nope"),
        ({"revision": "main"}, UsageError, "is local and has no revisions"),
    ],
)
def test_what_a_folder_does_not_have(options: dict[str, str], error: type, expected: str, tmp_path: Path) -> None:
    folder, _ = _configured(tmp_path / "f")
    with pytest.raises(error, match=re.escape(expected)):
        open_source(SourceConfig(str(folder), **{"config_name": "rows", **options}))


def test_configurations_have_to_be_chosen(tmp_path: Path) -> None:
    folder, _ = _configured(tmp_path / "f")
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace(", default: true", ""))
    with pytest.raises(UsageError, match="several configurations. Name one with --config-name: rows, b"):
        open_source(SourceConfig(str(folder)))
    assert read(folder, config_name="b")["text;n"] == ["b.csv;1"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "holds no dataset"),
        (("a.docx",), "holds no dataset"),
        (("a.png",), "imagefolder"),
        (("f.py",), "scripts are no longer supported"),
    ],
)
def test_a_folder_without_rows_to_read(names: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for name in names:
        (tmp_path / "f" / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=expected):
        open_source(SourceConfig(str(tmp_path / "f")))


def test_splits_with_different_columns(tmp_path: Path) -> None:
    for split, column in (("train", "text"), ("test", "body")):
        Dataset.from_dict({column: ["a"]}).to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(SourceError, match="'train' and 'test' .* have different columns. .* --split"):
        open_source(SourceConfig(str(tmp_path)))
    assert list(open_source(SourceConfig(str(tmp_path), split="test")).features) == ["body"]


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_whose_path_looks_like_a_pattern(link: bool, tmp_path: Path) -> None:
    folder, source = _folder(tmp_path / "f")
    odd = folder.rename(tmp_path / "a [b] *?")
    named = tmp_path / "link" if link else odd
    if link:
        named.symlink_to(odd)
    found = open_source(SourceConfig(str(named)))
    assert {split: sum(map(len, found.tables(split))) for split in found.splits} == source.num_rows
    assert not resolve(SourceConfig(str(named))).left_out


def test_a_file_whose_name_begins_with_a_tilde(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    _, source = _lines(tmp_path / "~a.jsonl")
    hf_toedit.edit("~a.jsonl", tmp_path / "run", cwd=tmp_path)
    check_only_texts_changed(source, tmp_path / "run")


def test_columns_named_like_a_path_to_another(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    texts = stories(2)
    path = tmp_path / "a.parquet"
    Dataset.from_dict({"a.b": texts, "a": [{"b": text} for text in texts]}).to_parquet(path)
    run = hf_toedit.edit(path, tmp_path / "run", "--text-column", "a.b", "--threshold", "0.5")
    edited = load(run)["train"]
    assert edited["a"][:] == [{"b": text} for text in texts]
    assert edited["a.b"][:] != texts
    hf_toedit("revert", run, "-o", tmp_path / "back")
    assert load(tmp_path / "back")["train"]["a.b"][:] == texts


EDITED = ("jsonl.zst", "tsv", "glob", "folder", "save_to_disk splits", "dictionary-encoded", "sample")


@pytest.mark.parametrize("kind", EDITED)
def test_only_the_text_of_a_source_changes(kind: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    named, source = KINDS[kind](tmp_path)
    limit = 9 if kind == "sample" else 100
    run = hf_toedit.edit(named, tmp_path / "run", "--limit", limit)
    check_only_texts_changed(
        DatasetDict({split: rows.select(range(min(limit, len(rows)))) for split, rows in source.items()}), run
    )


def test_columns_of_every_kind_and_odd_texts_are_kept(source: Path, run: Path) -> None:
    check_only_texts_changed(_read("parquet", source), run)


def test_generations_are_configs_and_the_last_is_the_default(run: Path) -> None:
    generations = [load(run, f"gen{number}")["train"] for number in (1, 2, 3)]
    assert same(load(run)["train"], generations[-1])
    changed = [sum(log["num_changed"] for log in rows["toedit"]) for rows in generations]
    assert all(changed)
    stamps = [{edit["generation"] for log in rows["toedit"] for edit in log["edits"]} for rows in generations]
    assert [max(stamp) for stamp in stamps] == [1, 2, 3]


def test_a_large_string_column_is_edited(source: Path, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    edited = load(hf_toedit.edit(source, tmp_path / "run", "--text-column", "body", "--threshold", "0.5"))["train"]
    assert edited.features["body"] == Value("large_string")
    assert sum(log["num_changed"] for log in edited["toedit"])
    assert same(edited.remove_columns(["toedit", "body"]), _read("parquet", source)["train"].remove_columns("body"))


def test_a_name_that_looks_like_a_pattern_is_a_name(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    rows(stories(2)[:1]).to_parquet(tmp_path / "1.parquet")
    rows(stories(2)[1:]).to_parquet(tmp_path / "[1].parquet")
    run = hf_toedit.edit(tmp_path / "[1].parquet", tmp_path / "run")
    check_only_texts_changed(DatasetDict({"train": rows(stories(2)[1:])}), run)


def test_one_split_can_be_chosen(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    named, source = _saved_splits(tmp_path / "f")
    check_only_texts_changed(
        DatasetDict({"test": source["test"]}), hf_toedit.edit(named, tmp_path / "run", "--split", "test")
    )


def test_a_relative_run_folder_lies_in_the_working_folder(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    _, source = _lines(tmp_path / "a.jsonl")
    hf_toedit.edit("a.jsonl", Path("deep/run"), cwd=tmp_path)
    check_only_texts_changed(source, tmp_path / "deep/run")


@pytest.mark.parametrize(
    ("path", "here"),
    [
        ("data/rows.parquet", False),
        ("https://host/rows.parquet?a=b::c", False),
        ("hf://datasets/org/name@main/rows.parquet", False),
        ("s3://bucket/rows.parquet", False),
        ("zip://rows.jsonl::s3://bucket/rows.zip", False),
        ("simplecache::s3://bucket/rows.parquet", False),
        ("file:///etc/rows.jsonl", True),
        ("zip://rows.jsonl::/etc/rows.zip", True),
        ("simplecache::local:///etc/rows.jsonl", True),
        ("file:///etc/rows.jsonl::https://host/rows", True),
    ],
)
def test_files_that_lead_to_this_machine(path: str, here: bool) -> None:
    assert SourceFile(path, 1, None).leads_here == here
