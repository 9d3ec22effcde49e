"""A run continues with a copy of its source in another place, but not with another source."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import HfToEdit
from tests.cli.fixtures import parquet, stories

OPTIONS = ("--shard-size", "file", "--threshold", "0.5", "--temperature", "4")


def _write(folder: Path, *names: str) -> Path:
    """Write a folder of files with two rows each."""
    folder.mkdir(parents=True)
    told = iter(stories(2 * len(names), 100))
    for name in names:
        (folder / name).write_text("".join(json.dumps({"text": next(told)}) + "\n" for _ in range(2)))
    return folder


def _plan(run: Path) -> dict[str, Any]:
    return json.loads((run / "toedit/plan.json").read_text())


def _planned(hf_toedit: HfToEdit, source: object, run: Path, **how: Any) -> dict[str, Any]:
    done = hf_toedit("plan", source, "-o", run, *OPTIONS, "--json", **how)
    assert done.code == 0, done
    assert done.json["hash"] == _plan(run)["hash"]
    return done.json


def test_a_plan_does_not_depend_on_when_and_where_files_were_written(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    plans = []
    for number, machine in enumerate(("one", "other")):
        source = _write(tmp_path / machine / "rows", "0.jsonl", "1.jsonl")
        for file in source.iterdir():
            os.utime(file, ns=(number, number))
        plans.append(_planned(hf_toedit, "rows/*.jsonl", tmp_path / machine / "run", cwd=tmp_path / machine))
    assert plans[0]["hash"] == plans[1]["hash"]


def test_a_run_goes_on_with_a_copy(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    first = _write(tmp_path / "here", "0.jsonl", "1.jsonl")
    whole = parquet(_edited(hf_toedit, first, tmp_path / "whole"))
    run = tmp_path / "run"
    planned = _planned(hf_toedit, first, run)
    assert hf_toedit("run", run, "--shard-group", "0/2").code == 0
    begun = _plan(run)
    copy = _write(tmp_path / "there", "a.jsonl", "b.jsonl")
    for file in first.iterdir():
        file.unlink()

    assert "is missing" in hf_toedit.fails("run", run)
    assert parquet(_edited(hf_toedit, copy, run)) == whole
    now = _plan(run)
    assert now["reading"].pop("renamed") == {"0.jsonl": "a.jsonl", "1.jsonl": "b.jsonl"}
    assert now == {**begun, "reading": {**begun["reading"], "root": str(copy)}}
    assert "agree with their source rows" in hf_toedit("verify", run).stdout
    assert _planned(hf_toedit, copy, run)["hash"] == planned["hash"]

    (first / "0.jsonl").write_bytes((copy / "a.jsonl").read_bytes())
    (first / "1.jsonl").write_bytes((copy / "b.jsonl").read_bytes())
    _edited(hf_toedit, first, run)
    assert _plan(run) == begun


def _edited(hf_toedit: HfToEdit, source: Path, run: Path) -> Path:
    done = hf_toedit("edit", source, "-o", run, *OPTIONS, "--quiet")
    assert (done.code, done.stderr) == (0, ""), done
    return run


@pytest.mark.parametrize("change", ["a byte", "the order", "one file more"])
def test_a_copy_with_another_content_is_refused(change: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _planned(hf_toedit, _write(tmp_path / "here", "0.jsonl", "1.jsonl"), run)
    copy = _write(tmp_path / "there", "0.jsonl", "1.jsonl")
    if change == "a byte":
        content = bytearray((copy / "0.jsonl").read_bytes())
        content[15] ^= 1
        (copy / "0.jsonl").write_bytes(content)
    elif change == "the order":
        (copy / "0.jsonl").rename(copy / "2.jsonl")
    else:
        (copy / "2.jsonl").write_bytes((copy / "0.jsonl").read_bytes())
    assert "holds another run" in hf_toedit.fails("plan", copy, "-o", run, *OPTIONS)


def test_a_byte_that_changes_after_planning_is_noticed(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source, run = _write(tmp_path / "here", "0.jsonl"), tmp_path / "run"
    _planned(hf_toedit, source, run)
    before = (source / "0.jsonl").stat()
    content = bytearray((source / "0.jsonl").read_bytes())
    content[15] ^= 1
    (source / "0.jsonl").write_bytes(content)
    os.utime(source / "0.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "has changed since it was planned" in hf_toedit.fails("run", run)
    content[15] ^= 1
    (source / "0.jsonl").write_bytes(content)
    assert hf_toedit("run", run).code == 0


def test_a_pulled_run_finds_its_source_by_content(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """A plan on the Hub does not contain the paths of local files."""
    source = _write(tmp_path / "rows", "0.jsonl", "1.jsonl")
    run = _edited(hf_toedit, source, tmp_path / "run")
    plan = _plan(run)
    plan["reading"]["root"] = None
    (run / "toedit/plan.json").write_text(json.dumps(plan))
    (source / "0.jsonl").rename(source / "00.jsonl")
    os.utime(source / "00.jsonl", ns=(5, 5))
    assert "agree with their source rows" in hf_toedit("verify", run).stdout
    (source / "00.jsonl").write_text('{"text": "another"}\n')
    assert "not on this one (or has changed)" in hf_toedit.fails("verify", run)


def test_a_run_goes_on_with_a_copy_of_its_prior(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    from shutil import copytree

    from hf_toedit.priors import embedded

    source, run, copy = _write(tmp_path / "here", "0.jsonl"), tmp_path / "run", tmp_path / "prior"
    _planned(hf_toedit, source, run)
    copytree(embedded.path(), copy)
    (copy / "config.json").touch()
    done = hf_toedit("edit", source, "-o", run, *OPTIONS, "--prior", copy, "--quiet")
    assert (done.code, done.stderr) == (0, ""), done
    assert _plan(run)["task"]["prior"]["prior"] == "embedded"
