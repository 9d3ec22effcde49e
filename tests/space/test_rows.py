"""Rows of local runs, compared with the Parquet files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_toedit.config import content_hash
from hf_toedit.errors import RunError, SourceError, ToEditError
from hf_toedit.runs.plan import Plan
from hf_toedit.space.opening import Address, OpenRun, Runs
from hf_toedit.space.rows import RunRows
from hf_toedit.space.settings import SpaceSettings


def opened(folder: Path) -> OpenRun:
    return Runs(SpaceSettings(local=True)).open(str(folder))


def written(folder: Path, generation: int, split: str = "train") -> list[dict[str, Any]]:
    """Return the rows of a generation from the files."""
    files = sorted(folder.glob(f"data/gen{generation}/{split}-*"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


def test_rows_are_those_of_the_files_in_every_generation(sharded: Path) -> None:
    rows = opened(sharded).rows
    assert (rows.generations, rows.splits, rows.num_rows("train"), rows.is_cut) == ([1, 2], ["train"], 25, False)
    before = pq.read_table(sharded.parent / "rows.parquet").column("text").to_pylist()
    for generation in (1, 2):
        for number, row in enumerate(written(sharded, generation)):
            found = rows.row(generation, "train", number)
            (text,) = found.texts
            assert text.label is None and text.table is not None
            assert (text.table.text, text.table.to_log()) == (row["text"], row["toedit"]["edits"])
            assert found.sources == (before[number],)
            assert dict(found.counts) == {name: row["toedit"][name] for name in found.counts}
            assert rows.differing(found) == ([3 - generation], [])
    assert any(rows.row(2, "train", number).num_edits for number in range(25))


def test_rows_that_hold_no_text(run: Path) -> None:
    rows = opened(run).rows
    texts = [row["text"] for row in written(run, 3)]
    assert None in texts and "" in texts
    for number, text in enumerate(texts):
        (found,) = rows.row(3, "train", number).texts
        assert (found.table and found.table.text) == text


def test_several_texts_a_row_and_several_splits(columns: Path) -> None:
    rows = opened(columns).rows
    assert {split: rows.num_rows(split) for split in rows.splits} == {"train": 24, "validation": 6, "test": 6}
    for split in rows.splits:
        for number, row in enumerate(written(columns, 2, split)):
            found = rows.row(2, split, number)
            assert [text.label for text in found.texts] == ["answer", "notes.hint"]
            assert [text.table and text.table.text for text in found.texts] == [row["answer"], row["notes"]["hint"]]
            assert found.sources == rows.row(1, split, number).sources


def test_conversations(chat: Path) -> None:
    rows = opened(chat).rows
    for number, row in enumerate(written(chat, 1)):
        found = rows.row(1, "train", number)
        assert [text.label for text in found.texts] == ["messages[2].content", "messages[4].content"]
        said = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
        assert [text.table and text.table.text for text in found.texts] == said


def test_a_run_without_an_edit_log(unlogged: Path) -> None:
    rows = opened(unlogged).rows
    assert not rows.has_log
    row = rows.row(1, "train", 0)
    assert (row.num_edits, row.counts) == (0, {})
    with pytest.raises(RunError, match="no edit log"):
        rows.search(1, "train", 0, 1, 0.0, 1.0)


def shares(folder: Path, generation: int) -> list[float]:
    logs = [row["toedit"] for row in written(folder, generation)]
    return [log["num_changed"] / log["num_tokens"] if log["num_tokens"] else 0.0 for log in logs]


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.01, 1.0), (0.2, 0.5), (0.0, 0.0), (0.3, 0.3), (0.99, 1.0)])
def test_a_search_finds_what_a_list_of_all_rows_has(long: Path, bounds: tuple[float, float]) -> None:
    rows = opened(long).rows
    fitting = [number for number, share in enumerate(shares(long, 1)) if bounds[0] <= share <= bounds[1]]
    for step, expected in ((1, fitting), (-1, fitting[::-1])):
        at, found = (-1 if step > 0 else 2300), []
        while (match := rows.search(1, "train", at, step, *bounds)).number is not None:
            assert match.num_rows == abs(match.number - at)
            at = match.number
            found.append(at)
        assert found == expected
        assert match.at_end and match.num_rows == (2299 - at if step > 0 else at)


def test_a_search_of_what_has_to_be_fetched_is_bounded_and_goes_on(sharded: Path) -> None:
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.space import rows as module

    folder = RunFolder(sharded)
    plan = folder.plan()
    far = RunRows(plan, folder, None, is_here=False)
    assert far.search(1, "train", -1, 1, 2.0, 3.0) == (None, 25, 24, True)
    assert module.GROUPS_SEARCHED < 100


def test_rows_beside_one_another(unfinished: Path) -> None:
    """Shards of 7, 6, 6 and 6 rows: row numbers do not change if one shard is missing."""
    rows = opened(unfinished).rows
    assert rows.num_rows("train") == 25
    firsts = [0]
    for shard in opened(unfinished).plan.shards:
        firsts.append(firsts[-1] + (shard.num_rows or 0))
    there = {1: [*range(firsts[3])], 2: [*range(firsts[1]), *range(firsts[2], firsts[3])]}
    for generation, numbers in there.items():
        for step in (1, -1):
            at, found = (-1 if step > 0 else 25), []
            while (number := rows.beside(generation, "train", at, step)) is not None:
                found.append(number)
                at = number
            assert found == numbers[::step]
        looked = rows.search(generation, "train", -1, 1, 2.0, 3.0)
        assert (looked.number, looked.num_rows, looked.at_end) == (None, len(numbers), True)


def test_an_unfinished_run_shows_what_is_done(unfinished: Path) -> None:
    run = opened(unfinished)
    gap = run.plan.shards[0].num_rows or 0
    with pytest.raises(RunError, match=rf"row {gap} of 'train' is not done in generation 2.*-00001-of-00004"):
        run.rows.row(2, "train", gap)
    row = run.rows.row(1, "train", gap)
    assert run.rows.differing(row) == ([], [])
    for number in (-1, 25):
        with pytest.raises(RunError, match=f"there is no row {number}: 'train' has rows 0 to 24"):
            run.rows.row(1, "train", number)


def test_a_run_that_is_not_begun(sharded: Path, tmp_path: Path) -> None:
    shutil.copytree(sharded / "toedit", tmp_path / "run/toedit")
    with pytest.raises(RunError, match="no shard of this run is done"):
        opened(tmp_path / "run")


def test_logs_that_do_not_agree_are_told(sharded: Path, tmp_path: Path) -> None:
    """One character of a logged source is changed; the sizes in the records stay the same."""
    folder, shard = _copy(sharded, tmp_path), "train-00000-of-00004.parquet"
    path = folder / "data/gen2" / shard
    table = pq.read_table(path)
    rows = table.to_pylist()
    number = next(number for number, row in enumerate(rows) if row["toedit"]["edits"])
    rows[number]["toedit"]["edits"][0]["source"] += "!"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    _record(folder, "gen2", "train-00000-of-00004", num_bytes=path.stat().st_size)
    rows_of = opened(folder).rows
    assert rows_of.differing(rows_of.row(1, "train", number)) == ([2], [2])
    assert rows_of.differing(rows_of.row(2, "train", number)) == ([1], [1])


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _swapped(path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"] * 7}), path)


def _few(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 3), path)


def _far(path: Path) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        row["toedit"]["edits"] = [{"start": 5, "end": 10**6, "source": "x", "generation": 1}]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


@pytest.mark.parametrize("damage", [_short, _swapped, _few, _far])
def test_damaged_files(sharded: Path, tmp_path: Path, damage: Any) -> None:
    folder = _copy(sharded, tmp_path)
    path = folder / "data/gen1/train-00000-of-00004.parquet"
    damage(path)
    _record(folder, "gen1", "train-00000-of-00004", num_bytes=path.stat().st_size)
    rows = opened(folder).rows
    with pytest.raises(ToEditError, match="damaged|does not fit its text"):
        rows.row(1, "train", 0)
    assert rows.row(1, "train", 24).texts


def test_a_row_without_its_log_shows_no_source(sharded: Path, tmp_path: Path) -> None:
    folder = _copy(sharded, tmp_path)
    path = folder / "data/gen1/train-00001-of-00004.parquet"
    table = pq.read_table(path)
    rows = [{**row, "toedit": row["toedit"] if number else None} for number, row in enumerate(table.to_pylist())]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    _record(folder, "gen1", "train-00001-of-00004", num_bytes=path.stat().st_size)
    number = pq.read_metadata(folder / "data/gen1/train-00000-of-00004.parquet").num_rows
    with pytest.raises(RunError, match=rf"row {number} of split 'train' \(it has no edit log\)"):
        opened(folder).rows.row(1, "train", number)


def test_statistics_that_are_no_numbers(sharded: Path, tmp_path: Path) -> None:
    folder = _copy(sharded, tmp_path)
    name = "train-00000-of-00004"
    stats = json.loads((folder / f"toedit/stats/gen1/{name}.json").read_text())["stats"]
    _record(folder, "gen1", name, stats={**stats, "num_rows": "many"})
    with pytest.raises(
        RunError, match="statistics of the run cannot be read: num_rows must be a whole number, not 'many'"
    ):
        opened(folder)


def test_names_that_open_nothing(tmp_path: Path, sharded: Path) -> None:
    for name in ("", "  ", "nothing/here/at/../all", "<b>x</b>", str(tmp_path), f"{sharded}x", "pasted text " * 400):
        with pytest.raises(ToEditError):
            Runs(SpaceSettings(local=True)).open(name)


def test_strangers_name_no_files(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This includes their path, and a path that looks like a repository."""
    monkeypatch.chdir(sharded.parent.parent)
    relative = os.path.relpath(sharded)
    assert relative.count("/") == 1
    for name in (str(sharded), f"file://{sharded}", f"./{relative}", relative, f"s3://bucket{sharded}"):
        with pytest.raises(SourceError):
            Runs(SpaceSettings()).open(name)
    assert Runs(SpaceSettings(local=True)).open(relative).plan == opened(sharded).plan


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("org/name", ("org/name", None, "")),
        ("org/name@v1", ("org/name", "v1", "")),
        ("org/name@refs/pr/1", ("org/name", "refs/pr/1", "")),
        ("org/name/some/folder", ("org/name", None, "some/folder")),
        ("org/name@v1/some/folder/", ("org/name", "v1", "some/folder")),
        ("hf://datasets/org/name@v1/folder", ("org/name", "v1", "folder")),
        ("https://huggingface.co/datasets/org/name", ("org/name", None, "")),
        ("huggingface.co/datasets/org/name/tree/main/folder", ("org/name", "main", "folder")),
    ],
)
def test_names_on_the_hub(name: str, address: tuple[str, str | None, str]) -> None:
    assert Address.of(name) == address
    assert Address.of(str(Address(*address))) == address


def test_runs_are_kept_and_let_go(sharded: Path, run: Path) -> None:
    runs = Runs(SpaceSettings(local=True))
    first = runs.open(str(sharded))
    assert runs.get(first.name) is first
    for number in range(8):
        link = sharded.parent / f"link-{number}"
        link.symlink_to(run)
        runs.open(str(link))
        link.unlink()
    again = runs.get(first.name)
    assert again is not first and again.plan == first.plan


def _copy(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder / "copy")
    return folder / "copy"


def _record(folder: Path, generation: str, name: str, **changes: Any) -> None:
    """Change a value of a record, consistently."""
    path = folder / f"toedit/stats/{generation}/{name}.json"
    record = {**json.loads(path.read_text()), **changes}
    record.pop("hash")
    path.write_text(json.dumps({"hash": content_hash(record), **record}))


def test_plans_that_do_not_count(sharded: Path, tmp_path: Path) -> None:
    """Neither the plan nor the records contain the number of rows; it is read from the Parquet footers."""
    from dataclasses import replace

    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(sharded)
    plan: Plan = folder.plan()
    uncounted = replace(plan, shards=tuple(replace(shard, num_rows=None) for shard in plan.shards))
    rows = RunRows(uncounted, folder, None, is_here=True)
    assert (rows.num_rows("train"), rows.is_cut) == (25, False)
    assert rows.row(1, "train", 24).texts == opened(sharded).rows.row(1, "train", 24).texts
