"""Files among the data of a run that do not belong to it: they do not load, and `verify` names them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from datasets import Dataset, DatasetDict

from hf_toedit.cards.readme import _digest
from hf_toedit.runs.store import RunFolder
from hf_toedit.storage.temporary import temporary_name
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, stories
from tests.cli.pushing import check_whole, pushed, texts
from tests.hub_server import HubServer

SPLITS = {"train": 4, "train.more": 3, "test": 2}
STRAYS = (
    "data/gen1/train-00099-of-00100.parquet",
    "data/gen2/train-00007-of-00008.parquet",
    "data/gen2/train.more-00000-of-00001.parquet",
    "data/gen2/validation-00000-of-00002.parquet",
    "data/gen2/old/train-00000-of-00002.parquet",
    "data/gen4/train-00000-of-00002.parquet",
    "data/notes.txt",
)


@pytest.fixture(scope="module")
def clean(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute a run of several splits, one a prefix of another, all but the last in two shards; read-only for tests."""
    folder = tmp_path_factory.mktemp("strays")
    splits = {name: Dataset.from_dict({"text": stories(count)}) for name, count in SPLITS.items()}
    DatasetDict(splits).save_to_disk(folder / "source")
    shutil.rmtree(folder / "source/test")
    splits["test"].save_to_disk(folder / "source/test")
    run = hf_toedit.edit(folder / "source", folder / "run", "--generations", 2, "--num-shards", 2)
    assert hf_toedit("verify", run, "--quiet").code == 0
    return run


@pytest.fixture
def run(clean: Path, tmp_path: Path) -> Path:
    return shutil.copytree(clean, tmp_path / "run")


def _add(run: Path, names: tuple[str, ...] = STRAYS) -> None:
    """Add rows of another dataset, with which a card that included them would not load."""
    for name in names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict({"other": [1]}).to_parquet(run / name)


def _texts(run: Path, generation: int) -> dict[str, list[str]]:
    return {split: rows["text"][:] for split, rows in load(run, f"gen{generation}").items()}


def test_the_card_names_the_files_of_the_run(run: Path) -> None:
    plan = RunFolder(run).plan()
    counts = {shard.split: shard.count for shard in plan.shards}
    assert set(counts) == set(SPLITS) and counts["train"] == 2
    configs = yaml.safe_load((run / "README.md").read_text().split("---\n")[1])["configs"]
    for generation, config in enumerate(configs, start=1):
        assert config["data_files"] == [
            {"split": split, "path": f"data/gen{generation}/{split}-*-of-{count:05d}.parquet"}
            for split, count in counts.items()
        ]


def test_strays_are_not_loaded_and_verify_names_them(run: Path, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    expected = {generation: texts(run, generation) for generation in (1, 2)}
    status = hf_toedit("status", run, "--json").json
    _add(run)
    assert {generation: _texts(run, generation) for generation in (1, 2)} == expected
    done = hf_toedit("verify", run)
    assert done.code == 1
    assert done.stdout.splitlines() == [f"{name} is not of this run. Delete it." for name in sorted(STRAYS)]
    assert done.stderr.startswith(f"Error: {len(STRAYS)} problems in {run}."), done
    assert hf_toedit("status", run, "--json").json == status
    card = (run / "README.md").read_bytes()
    assert hf_toedit("card", run).code == 0
    assert (run / "README.md").read_bytes() == card
    assert hf_toedit("revert", run, "-o", tmp_path / "out").code == 0
    reverted = {split: rows["text"][:] for split, rows in load(tmp_path / "out").items()}
    assert reverted == {split: stories(count) for split, count in SPLITS.items()}


def test_a_file_too_many_by_its_number_is_named(run: Path, hf_toedit: HfToEdit) -> None:
    """The pattern of the card includes such a file."""
    _add(run, ("data/gen1/train-00002-of-00002.parquet",))
    assert hf_toedit("verify", run).stdout == "data/gen1/train-00002-of-00002.parquet is not of this run. Delete it.\n"


def test_what_load_dataset_passes_over_is_no_stray(run: Path, hf_toedit: HfToEdit) -> None:
    for name in (temporary_name("train-00000-of-00002.parquet"), ".DS_Store", ".cache/train-00000-of-00002.parquet"):
        (run / "data/gen1" / name).parent.mkdir(exist_ok=True)
        (run / "data/gen1" / name).touch()
    (run / "data/gen3").mkdir()
    assert hf_toedit("verify", run).stdout.startswith("Sound: ")


def test_strays_in_storage_are_named(run: Path, hf_toedit: HfToEdit) -> None:
    assert hf_toedit("verify", f"local://{run}").stdout.startswith("Sound: ")
    _add(run)
    done = hf_toedit("verify", f"local://{run}")
    assert (done.code, len(done.stdout.splitlines())) == (1, len(STRAYS)), done


def test_strays_are_not_pushed_and_those_on_the_hub_are_named(
    run: Path, clean: Path, hub: HubServer, command: HfToEdit
) -> None:
    _add(run)
    assert command("push", run, "org/strays", "--quiet").code == 0
    check_whole(pushed(hub, "org/strays").head("main"), clean)
    hub.commit("dataset", "org/strays", {name: b"" for name in STRAYS})
    done = command("verify", "org/strays")
    assert (done.code, len(done.stdout.splitlines())) == (1, len(STRAYS)), done
    assert "holds data that are not of this run" in command.fails("push", run, "org/strays")
    assert command("push", run, "org/strays", "--replace", "--quiet").code == 0
    check_whole(pushed(hub, "org/strays").head("main"), clean)


def test_a_card_of_old_is_brought_up_to_date_by_a_push(run: Path, hub: HubServer, command: HfToEdit) -> None:
    """Earlier versions named every file of a split, and the card's hashes of its parts refer to that text."""
    assert command("push", run, "org/old", "--quiet").code == 0
    new = bytes(pushed(hub, "org/old").head("main").files["README.md"])
    text = new.decode()
    for config in yaml.safe_load(text.split("---\n")[1])["configs"]:
        before = _digest(config)
        for files in config["data_files"]:
            path, files["path"] = files["path"], re.sub(r"\*-of-\d+", "*", files["path"])
            text = text.replace(path, files["path"])
        assert text.count(before) == 1
        text = text.replace(before, _digest(config))
    hub.commit("dataset", "org/old", {"README.md": text.encode()})
    assert "train-*.parquet" in text
    (run / "README.md").write_text(text)
    assert command("push", run, "org/old", "--quiet").code == 0
    assert bytes(pushed(hub, "org/old").head("main").files["README.md"]) == new
    assert "train-*.parquet" not in (run / "README.md").read_text()
