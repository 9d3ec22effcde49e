"""Runs on the Hub: pulled, verified there, reverted from there, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import load_dataset

from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, same
from tests.hub_server import HubServer

SHARD = "train-00000-of-00002.parquet"


@pytest.fixture(scope="module")
def made(command: HfToEdit, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two generations in two shards."""
    folder = tmp_path_factory.mktemp("made") / "run"
    return command.edit(source, folder, "--generations", 2, "--num-shards", 2)


@pytest.fixture(scope="module")
def pushed(hub: HubServer, made: Path) -> dict[str, bytes]:
    """The files of org/edited, as a push leaves them: the plan does not say where the source lies."""
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
            assert "lies on the machine that made this run" in command.fails("verify", name)
            assert "agree with one another" in command("verify", name, "--no-source").stdout


class TestRefused:
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
        assert "is no Hub dataset" in command.fails("verify", made, "--prefix", "x", code=2)
