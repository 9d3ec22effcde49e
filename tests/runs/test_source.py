"""Every kind of source is edited end to end into a folder that `datasets` loads, and only its texts change."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datasets import Dataset, DatasetDict, Value, load_dataset, load_from_disk

from hf_toedit import sample
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, rows, same, stories

Made = tuple[object, DatasetDict]
"""What the command is given, and what `datasets` itself reads there."""


def _lines(path: Path, compress: Callable[[bytes], bytes] = bytes) -> Made:
    table = [{"text": text, "n": number, "tags": ["x"]} for number, text in enumerate(stories(4))]
    path.write_bytes(compress("".join(json.dumps(row) + "\n" for row in table).encode()))
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


def _sample(folder: Path) -> Made:
    return "sample", _read("parquet", Path(shutil.copy(sample.path(), folder)))


def _read(kind: str, *files: Path, **options: str) -> DatasetDict:
    return load_dataset(kind, data_files=[str(file) for file in files], cache_dir=f"{files[0]}.cache", **options)


KINDS: dict[str, Callable[[Path], Made]] = {
    "jsonl": lambda folder: _lines(folder / "a.jsonl"),
    "jsonl.gz": lambda folder: _lines(folder / "a.jsonl.gz", gzip.compress),
    "jsonl.zst": lambda folder: _lines(folder / "a.jsonl.zst", zstandard.compress),
    "csv": lambda folder: _table(folder / "a.csv", ","),
    "tsv": lambda folder: _table(folder / "a.tsv", "\t"),
    "tsv.gz": lambda folder: _compressed_table(folder / "a.tsv"),
    "text": lambda folder: _text(folder / "a.txt"),
    "glob": _glob,
    "folder": lambda folder: _folder(folder / "f"),
    "save_to_disk": lambda folder: _saved(folder / "f"),
    "save_to_disk splits": lambda folder: _saved_splits(folder / "f"),
    "dictionary-encoded": lambda folder: _categories(folder / "a.parquet"),
    "sample": _sample,
}


def check_only_texts_changed(source: DatasetDict, run: Path) -> None:
    """Only texts changed, some did, and rows without an edit are the source's."""
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


@pytest.mark.parametrize("kind", KINDS)
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
