"""Runs on the Hub: pulled, verified, reverted and resumed there."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from hf_toedit.config import content_hash
from hf_toedit.runs.plan import Plan
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, same
from tests.cli.pushing import alone, interrupted
from tests.hub_server import HubServer

SHARD = "train-00000-of-00002.parquet"


@pytest.fixture(scope="module")
def made(command: HfToEdit, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute a run of two generations in two shards."""
    folder = tmp_path_factory.mktemp("made") / "run"
    return command.edit(source, folder, "--generations", 2, "--num-shards", 2)


@pytest.fixture(scope="module")
def pushed(hub: HubServer, made: Path) -> dict[str, bytes]:
    """Return the files of org/edited after a push: the plan does not contain the path of the source."""
    files = {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    plan = json.loads(files["toedit/plan.json"])
    plan["reading"]["root"] = None
    files["toedit/plan.json"] = json.dumps(plan).encode()
    hub.create_repo("dataset", "org/edited", {**files, ".gitattributes": b""})
    return files


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_pulled_run_is_a_run_folder(
    command: HfToEdit, pushed: dict[str, bytes], made: Path, source: Path, tmp_path: Path
) -> None:
    done = command("pull", "org/edited", "-o", tmp_path / "run", "--json")
    assert (done.code, done.stderr) == (0, ""), done
    assert (done.json["num_files"], done.json["finished"]) == (len(pushed), True)
    assert _files(tmp_path / "run") == pushed
    done = command("run", tmp_path / "run", "--generations", 3, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    whole = command.edit(source, tmp_path / "whole", "--generations", 3, "--num-shards", 2)
    grown = {name: data for name, data in _files(tmp_path / "run").items() if name.startswith("data/")}
    assert grown == {name: data for name, data in _files(whole).items() if name.startswith("data/")}
    assert "Sound" in command("verify", tmp_path / "run").stdout


def test_a_pull_that_was_broken_off_goes_on(
    command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    part = run / ".pull/data/gen1"
    command("pull", "org/edited", "-o", run, kill_when=lambda: part.exists() and list(part.glob("*.parquet")))
    assert not (run / "toedit/plan.json").exists()
    assert "is not a run folder" in command.fails("status", run)
    before = len(hub.requests)
    done = command("pull", "org/edited", "-o", run)
    assert done.code == 0 and done.stdout.startswith(f"Pulled {len(pushed)} files of org/edited at "), done
    assert _files(run) == pushed
    fetched = [path for method, path in hub.requests[before:] if method == "GET" and path.endswith(".parquet")]
    assert len(fetched) < 4


def test_a_hub_that_is_busy_is_asked_again(
    command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path
) -> None:
    hub.faults.add("HEAD", "/org/edited/resolve/", 503, times=2, after=3)
    hub.faults.add("HEAD", "/org/edited/resolve/", "drop", after=3)
    assert command("pull", "org/edited", "-o", tmp_path / "run").code == 0
    assert _files(tmp_path / "run") == pushed


def test_ctrl_c_does_not_wait_for_the_hub(hub: HubServer, pushed: dict[str, bytes], tmp_path: Path) -> None:
    done = interrupted(hub, ".parquet", "pull", "org/edited", "-o", tmp_path / "run")
    assert (done.code, done.stdout, done.stderr) == (130, "", "Error: stopped.\n")


def test_part_of_a_repository(command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path) -> None:
    hub.create_repo("dataset", "org/several", {f"seeds/one/{name}": data for name, data in pushed.items()})
    assert "holds no run" in command.fails("pull", "org/several", "-o", tmp_path / "run")
    done = command("pull", "org/several", "-o", tmp_path / "run", "--prefix", "seeds/one/", "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert _files(tmp_path / "run") == pushed


def test_an_unfinished_run_can_be_pulled(
    command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path
) -> None:
    some = {name: data for name, data in pushed.items() if "gen2" not in name and name != "README.md"}
    hub.create_repo("dataset", "org/half", some)
    done = command("pull", "org/half", "-o", tmp_path / "run")
    assert "0 of 2 shards are done. Next: hf-toedit run" in done.stdout, done
    assert command("run", tmp_path / "run", "--quiet").code == 0
    assert (tmp_path / "run/data/gen2" / SHARD).read_bytes() == pushed[f"data/gen2/{SHARD}"]


def test_a_plan_from_the_hub_does_not_choose_what_is_read_here(
    command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], source: Path, tmp_path: Path
) -> None:
    plan = json.loads(pushed["toedit/plan.json"])
    plan["reading"]["root"] = str(source.parent)
    hub.create_repo("dataset", "org/rooted", {"toedit/plan.json": json.dumps(plan).encode()})
    assert command("pull", "org/rooted", "-o", tmp_path / "run", "--quiet").code == 0
    assert json.loads((tmp_path / "run/toedit/plan.json").read_text())["reading"]["root"] is None
    assert "is on the machine that planned this run" in command.fails("run", tmp_path / "run", "--quiet")


@pytest.mark.parametrize("generation", [1, 2])
def test_the_source_comes_back_from_the_hub(
    generation: int, command: HfToEdit, pushed: dict[str, bytes], source: Path, tmp_path: Path
) -> None:
    done = command("revert", "org/edited", "-o", tmp_path / "out", "--generation", generation, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    original = load_dataset("parquet", data_files=str(source), cache_dir=str(tmp_path / "cache"))["train"]
    assert same(load(tmp_path / "out")["train"], original)


class TestVerify:
    def test_a_sound_run(self, command: HfToEdit, pushed: dict[str, bytes], tmp_path: Path) -> None:
        done = command("verify", "org/edited")
        assert (done.code, done.stderr) == (0, ""), done
        assert done.stdout.startswith("Sound: 28 rows in 4 files agree with their source rows"), done
        assert command("verify", "org/edited", "--no-source", "--json").json == {
            "run": "org/edited", "ok": True, "num_shards": 4, "num_rows": 28, "problems": []
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({f"data/gen1/{SHARD}": b"PAR1"}, "train-00000-of-00002: generation 1 is not done"),
            ({f"data/gen2/{SHARD}": None}, "train-00000-of-00002: generation 2 is not done"),
            ({"data/gen1/train-00007-of-00008.parquet": b""}, "data/gen1/train-00007-of-00008.parquet is not of"),
            ({"README.md": None}, "the push was not finished"),
            ({".huggingface.yaml": b"configs: []"}, "the push was not finished"),
        ],
        ids=["damaged", "missing", "stray", "no card", "guarded"],
    )
    def test_what_is_wrong_is_told(
        self, change: dict[str, bytes | None], problem: str, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes]
    ) -> None:
        hub.create_repo("dataset", "org/changed", pushed)
        hub.commit("dataset", "org/changed", change)
        done = command("verify", "org/changed")
        assert done.code == 1
        assert done.stdout.startswith(problem), done
        assert done.stderr.startswith("Error: 1 problem in org/changed."), done

    def test_nothing_of_a_shard(self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes]) -> None:
        hub.create_repo("dataset", "org/gone", pushed)
        hub.commit("dataset", "org/gone", {f"data/gen{generation}/{SHARD}": None for generation in (1, 2)})
        done = command("verify", "org/gone")
        assert done.stdout.count("train-00000-of-00002: generation ") == 2, done
        assert done.stderr.startswith("Error: 2 problems in org/gone."), done

    def test_a_flipped_byte(self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes]) -> None:
        name = f"data/gen1/{SHARD}"
        middle = len(pushed[name]) // 2
        flipped = pushed[name][:middle] + bytes([pushed[name][middle] ^ 1]) + pushed[name][middle + 1 :]
        hub.create_repo("dataset", "org/flipped", {**pushed, name: flipped})
        assert "is damaged" in command("verify", "org/flipped").stdout

    def test_a_source_that_lies_elsewhere(
        self, command: HfToEdit, hub: HubServer, source: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "rows.parquet"
        other.write_bytes(source.read_bytes())
        run = command.edit(other, tmp_path / "run")
        plan = json.loads((run / "toedit/plan.json").read_text())
        plan["reading"]["root"] = None
        (run / "toedit/plan.json").write_text(json.dumps(plan))
        hub.create_repo("dataset", "org/elsewhere", run)
        assert command("verify", "org/elsewhere").code == 0
        other.unlink()
        for name in ("org/elsewhere", run):
            assert "is on the machine that made this run" in command.fails("verify", name)
            assert "agree with one another" in command("verify", name, "--no-source").stdout


def _by(
    pushed: dict[str, bytes],
    plan: Callable[[dict[str, Any]], object] = lambda plan: None,
    rows: Callable[[pa.Table], pa.Table] = lambda table: table,
    stats: Callable[[dict[str, Any]], object] = lambda stats: None,
) -> dict[str, bytes]:
    """Return the files of a run with consistent hashes, changed by an attacker."""
    files = dict(pushed)
    values = json.loads(files["toedit/plan.json"])
    whole = Plan.from_json(values)
    plan(values)
    settings = whole.task.facts()
    facts = {name: (values["task"] if name in settings else values)[name] for name in whole.facts()}
    for group, name in (("prior", "device"), ("reading", "root"), ("run", "generations"), ("run", "score_result")):
        facts[group] = {key: value for key, value in facts[group].items() if key != name}
    values["hash"] = content_hash(facts)
    files["toedit/plan.json"] = json.dumps(values).encode()
    for name in [name for name in files if name.startswith("toedit/stats/")]:
        data = name.replace("toedit/stats", "data").replace(".json", ".parquet")
        written = io.BytesIO()
        pq.write_table(rows(pq.read_table(io.BytesIO(files[data]))), written)
        files[data] = written.getvalue()
        record = json.loads(files[name])
        del record["hash"]
        stats(record["stats"])
        digest = hashlib.sha256(files[data]).hexdigest()
        record |= {"plan": values["hash"], "num_bytes": len(files[data]), "sha256": digest}
        files[name] = json.dumps({"hash": content_hash(record), **record}).encode()
    return files


def _without_logs(rows: pa.Table) -> pa.Table:
    column = rows.schema.get_field_index("toedit")
    return rows.set_column(column, rows.schema.field(column), pa.nulls(len(rows), rows.schema.field(column).type))


class TestFromAnyone:
    """Anyone who can write to a repository controls the contents of a plan, its statistics and its rows."""

    def test_a_plan_that_leads_out_of_its_folder(
        self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path
    ) -> None:
        victim = tmp_path / "mine-00000-of-00002.parquet"
        victim.write_bytes(b"mine")
        away = f"{'../' * 20}{victim.relative_to('/').parent}/mine"
        hub.create_repo("dataset", "org/away", _by(pushed, plan=lambda plan: plan["shards"][0].update(split=away)))
        for args in (["verify", "org/away", "--no-source"], ["pull", "org/away", "-o", tmp_path / "run"]):
            error = command.fails(*args)
            assert error.startswith("the run in dataset 'org/away' cannot be read at commit "), error
            assert "is not the name of a split" in error
        assert "is not the name of a split" in command.fails("run", tmp_path / "run")
        assert victim.read_bytes() == b"mine"

    def test_files_that_lead_out_of_their_folder(
        self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path
    ) -> None:
        hub.create_repo("dataset", "org/up", {**pushed, "data/../../up.txt": b"up"})
        assert command("pull", "org/up", "-o", tmp_path / "run").code == 0
        assert _files(tmp_path) == {f"run/{name}": data for name, data in pushed.items()}

    @pytest.mark.parametrize(
        "url", ["file://", "local://", "simplecache::file://", "zip://rows.parquet::", "filecache::local::http://h/"]
    )
    def test_a_plan_that_names_local_files_by_url(
        self, url: str, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], source: Path, tmp_path: Path
    ) -> None:
        def name(plan: dict[str, Any]) -> None:
            plan["files"] = [[f"{url}{source}", source.stat().st_size, None] for _ in plan["files"]]

        hub.create_repo("dataset", "org/here", _by(pushed, plan=name))
        for args in (["pull", "org/here", "-o", tmp_path / "run"], ["verify", "org/here"]):
            assert "it names a file of the machine that reads it" in command.fails(*args)
        assert "it has no toedit/plan.json" in command.fails("run", tmp_path / "run")

    def test_work_of_processes_is_not_pulled(
        self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path
    ) -> None:
        part = "toedit/work/gen1/train-00000-of-00002/000000000000-0123456789abcdef.part"
        others = dict.fromkeys((part, "toedit/progress/other-1.json", "toedit/steps/scores/toedit/plan.json"), b"any")
        hub.create_repo("dataset", "org/work", {**pushed, **others})
        assert command("pull", "org/work", "-o", tmp_path / "run").code == 0
        assert _files(tmp_path / "run") == pushed

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"plan": lambda plan: plan["reading"].update(format="pandas")}, "the format 'pandas' cannot be read"),
            ({"rows": _without_logs}, "generation 1: row 0 cannot be reverted: it has no edit log."),
            ({"stats": lambda stats: stats.update(new=1)}, "statistics of another version than this one"),
            ({"stats": lambda stats: stats.update(num_rows="many")}, "num_rows must be a whole number, not 'many'"),
        ],
        ids=["format", "rows", "version", "statistics"],
    )
    def test_what_cannot_be_checked_is_a_problem(
        self, change: dict[str, Any], problem: str, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes]
    ) -> None:
        hub.create_repo("dataset", "org/anyone", _by(pushed, **change))
        done = command("verify", "org/anyone")
        assert (done.code, problem in done.stdout) == (1, True), done
        assert done.stderr.startswith("Error: 2 problems in org/anyone."), done

    def test_columns_that_are_not_known(self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes]) -> None:
        new = {"text": {"_type": "Smell"}}
        hub.create_repo("dataset", "org/new", _by(pushed, plan=lambda plan: plan["reading"].update(features=new)))
        assert "does not know the columns of the plan: " in command("verify", "org/new").stdout

    def test_a_plan_without_an_end(self, command: HfToEdit, hub: HubServer, pushed: dict[str, bytes]) -> None:
        hub.create_repo("dataset", "org/deep", {"toedit/plan.json": b"[" * 100_000})
        assert "cannot be read at commit" in command.fails("verify", "org/deep")


class TestRefused:
    def test_a_token_that_is_not_valid(self, hub: HubServer, pushed: dict[str, bytes], tmp_path: Path) -> None:
        done = alone(hub, "pull", "org/edited", "-o", tmp_path / "run", HF_TOKEN="hf_nobodys")
        assert done.code == 1
        assert "(401: Invalid credentials in Authorization header)" in done.stderr, done
        assert "hf_nobodys" not in done.stdout + done.stderr

    def test_no_run(self, command: HfToEdit, hub: HubServer, tmp_path: Path) -> None:
        hub.create_repo("dataset", "org/plain", {"data/train.parquet": b""})
        assert "holds no run of hf-toedit" in command.fails("pull", "org/plain", "-o", tmp_path / "run")
        assert "unknown dataset 'org/none'" in command.fails("verify", "org/none")
        assert not (tmp_path / "run").exists()

    def test_a_folder_that_holds_something(self, command: HfToEdit, pushed: dict[str, bytes], tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        assert "is not an empty folder" in command.fails("pull", "org/edited", "-o", tmp_path)
        assert _files(tmp_path) == {"notes.txt": b"mine"}

    def test_options_of_the_hub_for_a_folder(self, command: HfToEdit, made: Path) -> None:
        assert "is not a Hub dataset" in command.fails("verify", made, "--prefix", "x", code=2)
