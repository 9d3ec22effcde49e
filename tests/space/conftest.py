"""Runs of every shape."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from datasets import Dataset

from tests.cards.golden import GOLDEN
from tests.cli.command import HfToEdit
from tests.cli.fixtures import rows, stories


@pytest.fixture(scope="session")
def sharded(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Execute two generations of 25 rows in four shards."""
    folder = tmp_path_factory.mktemp("sharded")
    rows([text[:120] for text in stories(25)]).to_parquet(folder / "rows.parquet")
    return hf_toedit.edit(folder / "rows.parquet", folder / "run", "--generations", 2, "--num-shards", 4)


@pytest.fixture(scope="session")
def long(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Execute one generation of 2,300 short rows: two shards, with two row groups each."""
    folder = tmp_path_factory.mktemp("long")
    texts = [f"Once upon a time there was a {number} little girl."[: 10 + number % 36] for number in range(2300)]
    Dataset.from_dict({"text": texts}).to_parquet(folder / "rows.parquet")
    return hf_toedit.edit(folder / "rows.parquet", folder / "run", "--num-shards", 2)


@pytest.fixture(scope="session")
def columns(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Execute a run with two text columns (one in a struct), context columns, three splits and two generations."""
    return _golden("splits-and-columns", hf_toedit, tmp_path_factory.mktemp("columns"))


@pytest.fixture(scope="session")
def chat(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Execute a run of conversations."""
    return _golden("chat", hf_toedit, tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="session")
def unlogged(hf_toedit: HfToEdit, source: Path) -> Path:  # noqa: F811
    """Execute a run without an edit log."""
    return hf_toedit.edit(source, source.parent / "unlogged", "--no-edit-log", "--limit", 4)


@pytest.fixture
def unfinished(sharded: Path, tmp_path: Path) -> Path:
    """Of the four shards, the second lacks generation 2, and the last has not begun."""
    folder = tmp_path / "unfinished"
    shutil.copytree(sharded, folder)
    for path in ("data/gen2/*-00001-*", "data/*/*-00003-*"):
        for file in folder.glob(path):
            file.unlink()
    return folder


def _golden(name: str, command: HfToEdit, folder: Path) -> Path:
    golden = GOLDEN[name]
    done = command("edit", golden.source(folder), "-o", folder / "run", "--quiet", *golden.options)
    assert (done.code, done.stderr) == (0, ""), done
    return folder / "run"
