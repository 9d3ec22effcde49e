"""`hf-toedit revert` restores the source from any single generation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, load_dataset

from hf_toedit.config import content_hash
from hf_toedit.storage.temporary import temporary_name
from tests.cli.command import HfToEdit
from tests.cli.fixtures import FEATURES, load, parquet, rows, same, stories

SHARD = "train-00000-of-00001.parquet"


@pytest.fixture
def original(source: Path, tmp_path: Path) -> Dataset:
    return load_dataset("parquet", data_files=str(source), cache_dir=str(tmp_path / "cache"))["train"]


def _revert(hf_toedit: HfToEdit, *args: object) -> None:
    done = hf_toedit("revert", *args, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_each_generation_gives_the_source(
    generation: int, hf_toedit: HfToEdit, run: Path, original: Dataset, tmp_path: Path
) -> None:
    _revert(hf_toedit, run, "-o", tmp_path / "out", "--generation", generation)
    assert same(load(tmp_path / "out")["train"], original)
    assert not same(load(run, f"gen{generation}")["train"].select_columns("text"), original.select_columns("text"))


def test_one_file_of_one_generation_is_enough(
    hf_toedit: HfToEdit, run: Path, original: Dataset, tmp_path: Path
) -> None:
    shutil.copy(run / "data/gen2" / SHARD, tmp_path / "elsewhere.parquet")
    done = hf_toedit("revert", "elsewhere.parquet", "-o", "out", cwd=tmp_path)
    assert (done.code, done.stdout) == (
        0,
        'Reverted 14 rows. Source rows: out\nLoad: datasets.load_dataset("out")\n',
    ), done
    assert same(load(tmp_path / "out")["train"], original)


def test_a_dataset_without_an_edit_log(hf_toedit: HfToEdit, run: Path, source: Path, tmp_path: Path) -> None:
    """The message suggests a column that holds a log, and no other."""
    said = hf_toedit.fails("revert", source, "-o", tmp_path / "out")
    assert "there is no column 'toedit'. Name the column of the edit log" in said
    said = hf_toedit.fails("revert", run / "data/gen1" / SHARD, "-o", tmp_path / "out", "--edit-log-column", "log")
    assert "there is no column 'log'. Known: toedit. Name" in said or "Did you mean 'toedit'?" in said


def test_a_run_as_a_source(hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
    """A second log in the same column, a generation in the name, and one that does not exist."""
    shutil.copytree(run, tmp_path / "run")

    def fails(*args: object) -> str:
        return hf_toedit.fails("edit", *args, "-o", tmp_path / "out")

    assert "edited already: its column 'toedit' is an edit log" in fails(tmp_path / "run")
    assert "with --config-name gen1." in fails(f"{tmp_path}/run:gen1")
    assert "has no configuration 'gen9'. Known: gen1, gen2" in fails(tmp_path / "run", "--config-name", "gen9")


def test_dropped_tokens_and_other_names_come_back(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """All splits are restored, with renamed columns and deleted tokens."""
    before = DatasetDict({"train": rows(stories(3)), "test": rows(stories(5)[3:])}).rename_column("text", "story")
    before.save_to_disk(tmp_path / "source")
    names = "--text-column", "story", "--edit-log-column", "log"
    drops = "--preset", "low_drop_up_revise", "--drop-below", "0.02"
    run = hf_toedit.edit(tmp_path / "source", tmp_path / "run", *names, *drops)
    edited = load(run)
    assert sum(log["num_dropped"] for log in edited["train"]["log"])
    _revert(hf_toedit, run, "-o", tmp_path / "out")
    after = load(tmp_path / "out")
    assert all(same(after[split], before[split]) for split in before)
    shutil.copy(run / "data/gen1" / SHARD, tmp_path / "file.parquet")
    _revert(hf_toedit, tmp_path / "file.parquet", "-o", tmp_path / "again", *names)
    assert parquet(tmp_path / "again").popitem()[1] == parquet(tmp_path / "out")[f"data/{SHARD}"]


def test_the_report_is_json(hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
    done = hf_toedit("revert", run, "-o", tmp_path / "out", "--json")
    assert done.json == {"output": str(tmp_path / "out"), "num_rows": {"train": 14}}
    assert done.stderr == ""


def test_a_reverted_folder_can_be_edited_again(hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
    _revert(hf_toedit, run, "-o", tmp_path / "out")
    again = load(hf_toedit.edit(tmp_path / "out", tmp_path / "again"))["train"]
    assert again.remove_columns("toedit").features == FEATURES
    assert again["text"] == load(run, "gen1")["train"]["text"]


def _with_logs(table: pa.Table, change: Callable[[list], list]) -> pa.Table:
    field = table.schema.field("toedit")
    logs = pa.array(change(table.column("toedit").to_pylist()), field.type)
    return table.set_column(table.column_names.index("toedit"), field, logs)


def _without_logs(run: Path, path: Path, *lost: int) -> Path:
    """Remove the edit logs of some rows in a file of a run's last generation."""
    table = pq.read_table(run / "data/gen3" / SHARD)
    without = _with_logs(table, lambda logs: [None if row in lost else log for row, log in enumerate(logs)])
    pq.write_table(without, path)
    return path


def _forge(run: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a shard and its record consistently."""
    path, record = run / f"data/gen1/{name}.parquet", run / f"toedit/stats/gen1/{name}.json"
    pq.write_table(change(pq.read_table(path)), path)
    written = path.read_bytes()
    values = {**json.loads(record.read_text()), "num_bytes": len(written), "sha256": sha256(written).hexdigest()}
    del values["hash"]
    record.write_text(json.dumps({"hash": content_hash(values), **values}))


class TestUnrevertible:
    """Rows whose source cannot be restored."""

    def test_they_are_refused_and_nothing_is_written(self, hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
        path = _without_logs(run, tmp_path / "in.parquet", *range(3, 10))
        said = hf_toedit.fails("revert", path, "-o", tmp_path / "new/out")
        named = ", ".join(f"row {row} of split 'train' (it has no edit log)" for row in range(3, 8))
        assert said.startswith(f"the source of 7 rows cannot be rebuilt: {named} and 2 more. Nothing was written.")
        assert "--skip-unrevertible" in said
        assert list(tmp_path.iterdir()) == [path]
        (tmp_path / "out").mkdir()
        hf_toedit.fails("revert", path, "-o", tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []

    def test_they_can_be_left_out(self, hf_toedit: HfToEdit, run: Path, original: Dataset, tmp_path: Path) -> None:
        path = _without_logs(run, tmp_path / "in.parquet", 3, 7)
        done = hf_toedit("revert", path, "-o", tmp_path / "out", "--skip-unrevertible")
        assert done.code == 0
        assert done.stdout.startswith(f"Reverted 12 rows. Source rows: {tmp_path / 'out'}\n")
        assert done.stderr.startswith("the source of 2 rows cannot be rebuilt: row 3 of split 'train' (it has")
        assert done.stderr.endswith(" They are left out.\n") and done.stderr.count("\n") == 1
        kept = original.select([row for row in range(14) if row not in (3, 7)])
        assert same(load(tmp_path / "out")["train"], kept)
        done = hf_toedit("revert", path, "-o", tmp_path / "again", "--skip-unrevertible", "--json")
        assert (done.code, done.stderr) == (0, "")
        assert (done.json["num_rows"], done.json["num_unrevertible"]) == ({"train": 12}, {"train": 2})

    def test_rows_are_counted_over_the_shards_of_a_split(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        run = hf_toedit.edit("sample", tmp_path / "run", "--num-shards", 2, "--limit", 6)
        _forge(run, "train-00001-of-00002", lambda table: _with_logs(table, lambda logs: [None, *logs[1:]]))
        said = hf_toedit.fails("revert", run, "-o", tmp_path / "out")
        before = pq.read_metadata(run / "data/gen1/train-00000-of-00002.parquet").num_rows
        assert said.startswith(f"the source of 1 row cannot be rebuilt: row {before} of split 'train' (")
        assert not (tmp_path / "out").exists()

    def test_verify_finds_them(self, hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
        run = hf_toedit.edit(source, tmp_path / "run")
        name = SHARD.removesuffix(".parquet")
        for change, problem in (
            (lambda logs: [*logs[:5], None, *logs[6:]], "row 5 cannot be reverted: it has no edit log."),
            (lambda logs: [*logs[:5], {**logs[5], "num_tokens": None}, *logs[6:]], "log of row 5 has no num_tokens."),
        ):
            whole = (run / "data/gen1" / SHARD).read_bytes()
            _forge(run, name, partial(_with_logs, change=change))
            for options in ((), ("--no-source",)):
                done = hf_toedit("verify", run, *options)
                assert (done.code, len(done.stdout.splitlines())) == (1, 1), done
                assert problem in done.stdout
            (run / "data/gen1" / SHARD).write_bytes(whole)


class TestAllOrNone:
    """A revert that fails leaves no files behind."""

    def test_a_damaged_shard(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        run = hf_toedit.edit("sample", tmp_path / "run", "--num-shards", 2, "--limit", 6)
        path = run / "data/gen1/train-00001-of-00002.parquet"
        damaged = bytearray(path.read_bytes())
        damaged[4:200] = bytes(196)
        path.write_bytes(damaged)
        said = hf_toedit.fails("revert", run, "-o", tmp_path / "out")
        assert said.startswith(f"cannot read {path}: ")
        assert f"hf-toedit run {run}" in said
        assert not (tmp_path / "out").exists()

    def test_another_table_in_a_shard(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        run = hf_toedit.edit("sample", tmp_path / "run", "--limit", 2)
        _forge(run, "train-00000-of-00001", lambda table: table.select(["text"]))
        said = hf_toedit.fails("revert", run, "-o", tmp_path / "out")
        assert "has other columns than were planned" in said
        assert not (tmp_path / "out").exists()

    def test_what_a_killed_process_left_is_no_obstacle(
        self, hf_toedit: HfToEdit, run: Path, original: Dataset, tmp_path: Path
    ) -> None:
        (tmp_path / "out/data").mkdir(parents=True)
        with subprocess.Popen(["true"]) as dead:
            pass
        name = temporary_name(SHARD).replace(f".{os.getpid()}@", f".{dead.pid}@")
        (tmp_path / "out/data" / name).write_bytes(b"PAR1")
        _revert(hf_toedit, run, "-o", tmp_path / "out")
        assert same(load(tmp_path / "out")["train"], original)
        assert [path.name for path in (tmp_path / "out/data").iterdir()] == [SHARD]


class TestRefused:
    """Runs that cannot be reverted, with a clear error."""

    def test_a_run_without_a_log(self, hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
        run = hf_toedit.edit(source, tmp_path / "run", "--no-edit-log")
        assert load(run)["train"].features == FEATURES
        assert "made with --no-edit-log" in hf_toedit.fails("revert", run, "-o", tmp_path / "out")
        file = run / "data/gen1" / SHARD
        assert "no column 'toedit'" in hf_toedit.fails("revert", file, "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_generation_that_is_not_there(self, hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
        said = hf_toedit.fails("revert", run, "-o", tmp_path / "out", "--generation", 4)
        assert said == f"{run} has no generation 4; it has 1 to 3."
        assert "no generation 0" in hf_toedit.fails("revert", run, "-o", tmp_path / "out", "--generation", 0)

    def test_a_generation_of_a_file(self, hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
        file = run / "data/gen1" / SHARD
        said = hf_toedit.fails("revert", file, "-o", tmp_path / "out", "--generation", 1)
        assert "is not a run folder" in said

    def test_an_unfinished_generation(self, hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
        half = shutil.copytree(run, tmp_path / "half")
        (half / "data/gen3" / SHARD).unlink()
        assert "generation 3" in hf_toedit.fails("revert", half, "-o", tmp_path / "out")

    def test_rows_of_another_tool(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        Dataset.from_dict({"text": ["a"], "toedit": ["b"]}).to_parquet(tmp_path / "a.parquet")
        said = hf_toedit.fails("revert", tmp_path / "a.parquet", "-o", tmp_path / "out")
        assert "column 'toedit' is not an edit log of hf-toedit" in said

    def test_an_output_folder_in_use(self, hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        assert "is not an empty folder" in hf_toedit.fails("revert", run, "-o", tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_plan_changed_by_hand(self, hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
        changed = shutil.copytree(run, tmp_path / "changed")
        plan = changed / "toedit/plan.json"
        plan.write_text(plan.read_text().replace('"seed": 0', '"seed": 1'))
        assert "was changed by hand" in hf_toedit.fails("revert", changed, "-o", tmp_path / "out")


def test_splits_keep_their_names(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source = {name: Dataset.from_dict({"text": stories(count)}) for name, count in (("en", 2), ("train_sft", 1))}
    DatasetDict(source).save_to_disk(str(tmp_path / "in"))
    run = hf_toedit.edit(tmp_path / "in", tmp_path / "run")
    hf_toedit("revert", run, "-o", tmp_path / "out")
    reverted = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: rows["text"][:] for name, rows in reverted.items()} == {k: v["text"][:] for k, v in source.items()}
