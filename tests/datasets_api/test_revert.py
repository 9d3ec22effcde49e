"""`hf_toedit.revert`: restores the source of loaded datasets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from datasets import (
    Dataset,
    DatasetDict,
    IterableDataset,
    IterableDatasetDict,
    concatenate_datasets,
    load_dataset,
)

from hf_toedit import ToEditError, ToEditProcessor, revert
from hf_toedit.errors import UsageError
from tests.cli.fixtures import load, same, stories
from tests.shared import shared


@pytest.fixture
def original(source: Path, tmp_path: Path) -> Dataset:
    return load_dataset("parquet", data_files=str(source), cache_dir=str(tmp_path / "cache"))["train"]


@pytest.mark.parametrize("generation", ["gen1", "gen3"])
def test_a_run_gives_its_source(generation: str, run: Path, original: Dataset) -> None:
    edited = load(run, generation)
    assert isinstance(edited, DatasetDict)
    back = revert(edited)
    assert list(back) == ["train"]
    assert same(back["train"], original)
    assert same(revert(edited["train"].select(range(3, 9))), original.select(range(3, 9)))


def test_a_stream_gives_its_source(run: Path, original: Dataset) -> None:
    back = revert(load_dataset(str(run), split="train", streaming=True))
    assert isinstance(back, IterableDataset)
    assert back.features == original.features
    assert [row["text"] for row in back.select_columns("text")] == original["text"]


def test_conversations_and_other_names() -> None:
    told = stories(2)
    chats = Dataset.from_list([{"chat": [{"role": "user", "content": "Hi"}, {"role": "ai", "content": text}]}
                               for text in told])  # fmt: skip
    names = {"messages_column": "chat", "roles": ["ai"], "edit_log_column": "log"}
    settings = {"threshold": 0.9, "temperature": 4.0}
    edited = chats.map(ToEditProcessor(str(shared("models/stories260K")), **names, **settings), batched=True)
    assert edited["chat"] != chats["chat"]
    assert same(revert(edited, **names), chats)


def test_what_cannot_be_reverted(run: Path, original: Dataset) -> None:
    with pytest.raises(ToEditError, match="no column 'toedit'"):
        revert(original)
    with pytest.raises(ToEditError, match="storey"):
        revert(load(run)["train"], text_column="storey")


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_of_elsewhere_are_refused_or_left_out(
    streaming: bool, run: Path, original: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    edited = load(run)["train"]
    mixed = concatenate_datasets(
        [original.select([0, 1]), edited.select(range(2, 14)), edited.remove_columns("toedit")]
    )
    rows = DatasetDict({"train": mixed})
    if streaming:
        rows = IterableDatasetDict({"train": mixed.to_iterable_dataset()})
    named = r"the source of 16 rows cannot be rebuilt: row 0 of split 'train' \(it has no edit log\), row 1 .*, row 14 "
    with pytest.raises(ToEditError, match=named + ".*skip_unrevertible=True"):
        list(revert(rows)["train"])
    caplog.clear()
    kept = revert(rows, skip_unrevertible=True)["train"]
    assert [row["text"] for row in kept.select_columns("text")] == original["text"][2:]
    assert [re.match(named, record.getMessage()) is not None for record in caplog.records] == [True]
    assert list(revert(mixed.select([0]), skip_unrevertible=True)) == []


def test_a_split_without_rows(run: Path) -> None:
    edited = load(run)["train"]
    reverted = revert(DatasetDict({"train": edited, "test": edited.select([])}))
    assert reverted["test"].features == reverted["train"].features and not len(reverted["test"])


def test_names_of_another_type_are_refused() -> None:
    for other in ([{"text": "a"}], "run", {"train": "run"}):
        with pytest.raises(UsageError, match="^the dataset is of type (list|str). Load it with load_dataset"):
            revert(other)  # type: ignore[type-var]
    rows = Dataset.from_dict({"text": ["a"]})
    with pytest.raises(UsageError, match="^edit_log_column must be a string, not 5.$"):
        revert(rows, edit_log_column=5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="^text_columns must be a string or a list of strings, not 5.$"):
        revert(rows, text_column=5)  # type: ignore[arg-type]
