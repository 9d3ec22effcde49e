"""A run folder of hf-toedit 0.1.0, whose plan pins files by modification time: it can be resumed, read and pushed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, parquet

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_of_format_1"
OPTIONS = ("--generations", 2, "--threshold", "0.9", "--temperature", 2, "--shard-size", "file", "--quiet")
CHANGED_NS = 1_790_000_000 * 10**9
HASH = "c4ffa831339b7e9b282002872bb16156f6ec1dababda36800505903a20b4f056"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """Copy the fixture, with the modification times of the plan."""
    return _copy(tmp_path / "before")


def _copy(place: Path) -> Path:
    shutil.copytree(FIXTURE, place)
    for file in (place / "rows").iterdir():
        os.utime(file, ns=(CHANGED_NS, CHANGED_NS))
    return place


def _plan(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run/toedit/plan.json").read_text())


def _set_root(folder: Path) -> None:
    """Restore the root folder in the plan, which was removed from the fixture."""
    plan = _plan(folder)
    plan["reading"]["root"] = str(folder / "rows")
    (folder / "run/toedit/plan.json").write_text(json.dumps(plan))


def _again(hf_toedit: HfToEdit, folder: Path) -> Path:
    done = hf_toedit("edit", "rows/*.jsonl", "-o", "run", *OPTIONS, cwd=folder)
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return folder / "run"


def test_it_is_read(hf_toedit: HfToEdit, before: Path) -> None:
    state = hf_toedit("status", before / "run", "--json").json
    assert (state["num_shards"], state["num_done"], state["finished"]) == (2, 1, False)
    assert RunFolder(before / "run").plan().content_hash == _plan(before)["hash"] == HASH


def test_kinds_are_not_told_of_a_generation_that_knows_only_some(hf_toedit: HfToEdit, before: Path) -> None:
    """Shards that were done before kinds existed have no kinds."""
    run = _again(hf_toedit, before)
    records = [json.loads(path.read_text()) for path in sorted((run / "toedit/stats/gen2").iterdir())]
    assert [bool(record["stats"].get("num_selected_by_kind")) for record in records] == [False, True]
    assert "by kind" not in hf_toedit("status", run).stdout
    assert "by_kind" not in hf_toedit("status", run, "--json").stdout
    made_now = before.parent / "now"
    shutil.copytree(before / "rows", made_now / "rows")
    assert "by kind" in hf_toedit("status", _again(hf_toedit, made_now)).stdout


def test_the_same_command_goes_on_with_it(hf_toedit: HfToEdit, before: Path) -> None:
    done, plan = parquet(before / "run"), _plan(before)
    run = _again(hf_toedit, before)
    assert _plan(before)["format"] == 2  # rewritten, because the source is in another folder here
    assert RunFolder(run).plan() == Plan.from_json(
        {**plan, "reading": {**plan["reading"], "root": str(before / "rows")}}
    )
    assert parquet(run).items() > done.items()
    assert hf_toedit("status", run, "--json").json["finished"]
    assert "Sound: 8 rows in 4 files agree with their source rows" in hf_toedit("verify", run).stdout
    card = (run / "README.md").read_text()
    assert f"fingerprint <code>{plan['source_revision']}</code>" in card
    assert "depend on contents" not in card, "this fingerprint cannot be checked"
    (run / "README.md").unlink()
    assert hf_toedit("card", run, "--quiet").code == 0
    assert (run / "README.md").read_text() == card

    made_now = before.parent / "now"
    shutil.copytree(before / "rows", made_now / "rows")
    assert load(_again(hf_toedit, made_now)).num_rows == load(run).num_rows
    assert load(made_now / "run")["train"][:] == load(run)["train"][:]


def test_run_goes_on_with_it_and_looks_at_the_time_of_change(hf_toedit: HfToEdit, before: Path) -> None:
    _set_root(before)
    (before / "run/data/gen1/train-00001-of-00002.parquet").unlink()
    os.utime(before / "rows/1.jsonl", ns=(5, 5))
    assert "has changed since it was planned" in hf_toedit.fails("run", before / "run")
    assert "holds another run" in hf_toedit.fails("edit", "rows/*.jsonl", "-o", "run", *OPTIONS, cwd=before)
    os.utime(before / "rows/1.jsonl", ns=(CHANGED_NS, CHANGED_NS))
    assert hf_toedit("run", before / "run", "--quiet").code == 0
    assert "Sound" in hf_toedit("verify", before / "run").stdout


def test_it_goes_on_with_files_that_were_moved(hf_toedit: HfToEdit, before: Path) -> None:
    _set_root(before)
    there = _copy(before.parent / "there")
    shutil.rmtree(before / "rows")
    done = hf_toedit("edit", "rows/*.jsonl", "-o", before / "run", *OPTIONS, cwd=there)
    assert (done.code, done.stderr) == (0, ""), done
    assert _plan(before)["reading"]["root"] == str(there / "rows")


def test_it_is_verified_where_its_plan_does_not_say_where_the_source_is(hf_toedit: HfToEdit, before: Path) -> None:
    plan = (before / "run/toedit/plan.json").read_text()
    _again(hf_toedit, before)
    (before / "run/toedit/plan.json").write_text(plan)
    assert "agree with their source rows" in hf_toedit("verify", "run", cwd=before).stdout
    os.utime(before / "rows/1.jsonl", ns=(5, 5))
    assert "not on this one (or has changed)" in hf_toedit.fails("verify", "run", cwd=before)


def test_it_is_pushed(command: HfToEdit, hf_toedit: HfToEdit, before: Path) -> None:
    run = _again(hf_toedit, before)
    assert hf_toedit("verify", run).code == 0
    outlook = command("push", run, "org/before", "--dry-run", "--json")
    assert outlook.code == 0, outlook
    assert command("push", run, "org/before", "--quiet").code == 0
    assert "agree with one another" in command("verify", "org/before", "--no-source").stdout
