"""Fixtures for the tests of commands and runs: the command, a dataset with every kind of column, and its runs."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from datasets import Array2D, ClassLabel, Dataset, DatasetDict, Features, Image, List, Value, load_dataset

from tests.cli.command import HfToEdit
from tests.shared import texts

FEATURES = Features(
    {
        "id": Value("int64"),
        "label": ClassLabel(names=["short", "odd"]),
        "text": Value("string"),
        "meta": {"title": Value("string"), "stats": {"words": Value("int32")}},
        "topics": List(Value("string")),
        "events": List({"name": Value("string"), "day": Value("date32")}),
        "nothing": Value("null"),
        "blob": Value("binary"),
        "at": Value("timestamp[us, tz=Europe/Berlin]"),
        "price": Value("decimal128(10, 2)"),
        "matrix": Array2D((2, 2), "float32"),
        "body": Value("large_string"),
        "picture": Image(),
    }
)
ODD = (None, "", " \n\t ", "na\u0308ive 👩‍👩‍👧 <s>\u0000</s>", "\u200b\ufeff𝔘nicode 你好,\r\nsaid she.")


def stories(count: int, length: int = 240) -> list[str]:
    """Return the beginnings of stories to which the small prior assigns high probabilities."""
    return [text[:length] for text in texts("synthetic_tinystories_500")[:count]]


def rows(documents: list[str | None]) -> Dataset:
    """Return documents with columns of every kind."""
    return Dataset.from_list([_row(index, text) for index, text in enumerate(documents)], features=FEATURES)


def _row(index: int, text: str | None) -> dict[str, Any]:
    odd = index % 2
    return {
        "id": index,
        "label": odd,
        "text": text,
        "meta": {"title": None if odd else f"title {index}", "stats": {"words": index}},
        "topics": None if odd else ["a", None, ""][:index],
        "events": [{"name": "born", "day": dt.date(1900, 1, 1)}] * (index % 3),
        "nothing": None,
        "blob": bytes([index, 0, 255]),
        "at": dt.datetime(2024, 3, 31, 1, 30, index, tzinfo=dt.timezone.utc),
        "price": None if odd else Decimal("9.99"),
        "matrix": [[index, 1], [2, 3]],
        "body": "Once upon a time there was a little girl.",
        "picture": None if odd else {"bytes": b"no picture, left undecoded", "path": "a.png"},
    }


def load(path: Path, name: str | None = None) -> DatasetDict:
    """Load a folder as users do, with a separate cache."""
    return load_dataset(str(path), name, cache_dir=f"{path}.cache")


def same(one: Dataset, other: Dataset) -> bool:
    """Whether two datasets have equal Features, order and values, without decoding."""
    return one.features == other.features and one.with_format("arrow")[:].equals(other.with_format("arrow")[:])


def parquet(run: Path) -> dict[str, bytes]:
    """Return the Parquet files of a run by name, as bytes."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.parquet"))}


@pytest.fixture(scope="session")
def hf_toedit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    """Return the command, without network access."""
    with HfToEdit(tmp_path_factory.mktemp("command"), os.environ) as command:
        yield command


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a Parquet file with every kind of column, and odd texts among the stories."""
    path = tmp_path_factory.mktemp("source") / "rows.parquet"
    told = stories(9)
    rows([told[0], *ODD, *told[1:]]).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def run(hf_toedit: HfToEdit, source: Path) -> Path:
    """Execute a run of three generations; read-only for tests."""
    return hf_toedit.edit(source, source.parent / "run", "--generations", 3)
