"""datatrove pipelines produce the edits of a run, and read a run's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import hf_toedit as package
from tests.shared import texts

COUNT = 24


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two files of short stories."""
    folder = tmp_path_factory.mktemp("documents")
    rows = [{"id": str(number), "text": text} for number, text in enumerate(texts("synthetic_tinystories_500")[:COUNT])]
    for name, part in (("a", rows[: COUNT // 2]), ("b", rows[COUNT // 2 :])):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Edit the same documents with a run."""
    folder = tmp_path_factory.mktemp("run") / "run"
    package.edit(f"{documents}/*.jsonl", folder, workers=0, seed=0, num_shards=2, progress=False)
    return folder


def _rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.jsonl"))
    assert files
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def _run_rows(run: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(run.glob("data/gen1/*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_pipeline_gives_the_edits_of_a_run(
    documents: Path, run: Path, example: Callable[..., str], tmp_path: Path
) -> None:
    example("datatrove_step.py", documents, "edited", "--tasks", 2)
    edited, expected = _rows(tmp_path / "edited/data"), _run_rows(run)
    assert [row["id"] for row in edited] == [row["id"] for row in expected] == [str(n) for n in range(COUNT)]
    assert [row["text"] for row in edited] == [row["text"] for row in expected]
    assert [row["metadata"]["toedit"]["edits"] for row in edited] == [row["toedit"]["edits"] for row in expected]
    assert sum(len(row["toedit"]["edits"]) for row in expected) > COUNT / 4
    statistics = json.loads((tmp_path / "edited/logs/stats.json").read_text(encoding="utf-8"))
    changed = statistics[1]["stats"]["tokens_changed"]["total"]
    assert changed == sum(row["toedit"]["num_changed"] for row in expected)


def test_a_pipeline_reads_a_run(run: Path, example: Callable[..., str], tmp_path: Path) -> None:
    example("datatrove_read_run.py", run / "data/gen1", "kept", "--at-most", 0.003)
    kept = _rows(tmp_path / "kept/data")
    logs = {row["id"]: row["toedit"] for row in _run_rows(run)}
    few = [name for name, log in logs.items() if log["num_changed"] / log["num_tokens"] <= 0.003]
    assert [row["id"] for row in kept] == few and 0 < len(few) < COUNT
