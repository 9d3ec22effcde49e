"""The scripts of `dataset_scripts/`, run on repositories in the layout of their datasets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import DatasetDict
from huggingface_hub.cli._uv_script_header import load_uv_script

from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import load, stories
from tests.hub_server import HubServer
from tests.scripts.conftest import COSMOPEDIA, dolma_rows, instructions

FOLDER = Path(__file__).parents[2] / "dataset_scripts"
SCRIPTS = sorted(FOLDER.glob("*.py"))
KEPT = ["id", "text", "added", "created", "source"]


def run(command: HfToEdit, name: str, folder: Path, *options: object) -> DatasetDict:
    """Run a script, and load the result."""
    done = command(*eager(), "--quiet", *options, "-o", folder, script=FOLDER / f"{name}.py")
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return load(folder)


def plan(folder: Path) -> Any:
    return json.loads((folder / "toedit/plan.json").read_text())


def changed(edited: DatasetDict, column: str, source: dict[str, list[str]]) -> bool:
    """Whether texts changed, in order; each log must be consistent with that."""
    for split, texts in source.items():
        rows = edited[split]
        assert [log["num_changed"] > 0 for log in rows["toedit"]] == [
            before != after for before, after in zip(texts, rows[column], strict=True)
        ]
    return any(list(edited[split][column]) != texts for split, texts in source.items())


def test_dolma_is_read_by_its_list_one_shard_a_file(command: HfToEdit, tmp_path: Path) -> None:
    files = dolma_rows()
    edited = run(command, "dolma_toedit", tmp_path / "run")
    rows = [row for file in files for row in file]
    assert changed(edited, "text", {"train": [row["text"] for row in rows]})
    assert edited["train"].column_names == [*KEPT, "toedit"]
    for name in ("id", "added", "created", "source"):
        assert list(edited["train"][name]) == [row.get(name) for row in rows]
    planned = plan(tmp_path / "run")
    assert [shard["pieces"] for shard in planned["shards"]] == [[[number, 0, None]] for number in range(len(files))]
    assert planned["provenance"]["source_card"]["license"] == "odc-by"
    assert planned["provenance"]["command"].startswith("uv run dolma_toedit.py --prior")
    card = (tmp_path / "run/README.md").read_text()
    assert "source_datasets:\n- allenai/dolma\n" in card and "pretty_name: Dolma, edited with ToEdit" in card
    assert f"/datasets/allenai/dolma/tree/{planned['source_revision']}) @" in card
    shards = sorted((tmp_path / "run/data/gen1").glob("*.parquet"))
    assert [path.name for path in shards] == [f"train-0000{number}-of-00004.parquet" for number in range(4)]


def test_another_version_of_dolma_with_its_metadata(command: HfToEdit, hub: HubServer, tmp_path: Path) -> None:
    kept = ",".join([*KEPT, "metadata:string"])
    edited = run(command, "dolma_toedit", tmp_path / "run", "--config-name", "v1_6-sample", "--columns", kept)
    assert edited["train"]["metadata"] == ["none"] * 3
    assert plan(tmp_path / "run")["source_revision"] == hub.repos["dataset", "allenai/dolma"].branches["main"]
    script = FOLDER / "dolma_toedit.py"
    said = command.fails("--config-name", "v1_6_sample", "-o", tmp_path / "other", *eager(), script=script)
    assert "has no file 'urls/v1_6_sample.txt' at commit" in said
    assert said.endswith("Did you mean 'urls/v1_6-sample.txt'?")


def test_a_limit_reads_no_more_files_than_it_needs(command: HfToEdit, hub: HubServer, tmp_path: Path) -> None:
    before = len(hub.requests)
    edited = run(command, "dolma_toedit", tmp_path / "run", "--limit", 4)
    assert list(edited["train"]["id"]) == ["0/0", "0/1", "0/2", "1/0"]
    asked = Counter(path.rpartition("/")[2] for method, path in hub.requests[before:] if path.endswith(".json.gz"))
    assert asked["part-2.json.gz"] == asked["part-3.json.gz"] == 1  # to get the size
    assert min(asked["part-0.json.gz"], asked["part-1.json.gz"]) > 1


@pytest.mark.parametrize(("options", "part"), [((), 0), (("--config-name", "khanacademy"), 1)])
def test_cosmopedia(command: HfToEdit, tmp_path: Path, options: tuple[str, ...], part: int) -> None:
    edited = run(command, "cosmopedia_toedit", tmp_path / "run", *options)
    assert changed(edited, "text", {"train": stories(6)[part::2]})
    assert edited["train"].column_names == [*COSMOPEDIA, "toedit"]
    assert list(edited["train"]["prompt"]) == ["prompt 0", "prompt 1", "prompt 2"]


def test_tinystories(command: HfToEdit, tmp_path: Path) -> None:
    edited = run(command, "tinystories_toedit", tmp_path / "run")
    assert changed(edited, "text", {"train": stories(4), "validation": stories(6)[4:]})
    assert plan(tmp_path / "run")["provenance"]["source_card"]["license"] == "cdla-sharing-1.0"
    limited = run(command, "tinystories_toedit", tmp_path / "limited", "--limit", 1, "--split", "validation")
    assert {split: len(rows) for split, rows in limited.items()} == {"validation": 1}


def test_of_natural_instructions_the_answers_are_edited(command: HfToEdit, tmp_path: Path) -> None:
    rows = instructions(6)
    edited = run(command, "natural_instructions_toedit", tmp_path / "run")
    source = {"train": rows[:4], "test": rows[4:]}
    assert changed(edited, "targets", {split: [row["targets"] for row in rows] for split, rows in source.items()})
    for split, before in source.items():
        for name in ("task_name", "id", "definition", "inputs"):
            assert list(edited[split][name]) == [row[name] for row in before]
    planned = plan(tmp_path / "run")
    assert planned["source"]["context_columns"] == ["definition", "inputs"]
    assert planned["provenance"]["source_card"] == {"language": ["en"], "task_categories": ["other"]}


def test_of_the_biomedical_corpora_the_texts_are_read_not_their_index(command: HfToEdit, tmp_path: Path) -> None:
    edited = run(command, "biomed_toedit", tmp_path / "run")
    assert changed(edited, "text", {"train": stories(4)})


def test_any_dataset(command: HfToEdit, tmp_path: Path) -> None:
    edited = run(command, "toedit", tmp_path / "run", "roneneldan/TinyStories", "--limit", 2)
    assert changed(edited, "text", {"train": stories(2), "validation": stories(6)[4:]})


def test_options_of_a_yaml_file_win_over_those_of_the_recipe(command: HfToEdit, tmp_path: Path) -> None:
    settings = {"split": "test", "limit": 1, "context-columns": "inputs", "source": "elsewhere"}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    run(command, "natural_instructions_toedit", tmp_path / "run", "--config", tmp_path / "settings.yaml")
    planned = plan(tmp_path / "run")["source"]
    assert (planned["context_columns"], planned["limit"]) == (["inputs"], 1)
    assert planned["source"] == "Muennighoff/natural-instructions"


def test_as_a_process_it_writes_to_a_folder_of_its_name(hub: HubServer, tmp_path: Path) -> None:
    script = tmp_path / "tinystories_toeditV15KNK.py"  # name of a file that `uv run` downloads from a URL
    shutil.copy(FOLDER / "tinystories_toedit.py", script)
    environment = {**hub.env, "PYTHONPATH": str(FOLDER.parent), "HF_HOME": str(tmp_path / "hf_home")}
    asked = [sys.executable, str(script), *eager(), "--limit", "1", "--workers", "0"]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done
    [warning] = done.stderr.splitlines()
    assert warning.startswith("'roneneldan/TinyStories' holds 1 data file that is not read (1 .txt:"), done
    assert "Run folder: tinystories-toedit-run\n" in done.stdout
    assert len(load(tmp_path / "tinystories-toedit-run")["train"]) == 1


@pytest.mark.parametrize(
    ("name", "args", "code", "expected"),
    [
        ("toedit", [], 2, "Missing argument 'SOURCE'."),
        ("toedit", ["org/absent", "--prior", "embedded"], 1, "dataset 'org/absent'"),
        ("tinystories_toedit", ["--limit", "0"], 2, "limit"),
        ("cosmopedia_toedit", ["--config-name", "absent"], 1, "absent"),
    ],
)
def test_wrong_use_ends_with_one_line(
    command: HfToEdit, tmp_path: Path, name: str, args: list[str], code: int, expected: str
) -> None:
    assert expected in command.fails(*args, cwd=tmp_path, script=FOLDER / f"{name}.py", code=code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_uv_and_hf_jobs_read_its_header(script: Path) -> None:
    with load_uv_script(str(script)) as read:
        header = read.header
    assert header is not None
    assert (header.flavor, header.timeout, header.secrets) != (None, None, [])
    assert header.secrets == ["HF_TOKEN"]
    assert re.fullmatch(r"\d+[hd]", header.timeout or "")
    block = re.findall(r"(?m)^# (.*)$", script.read_text(encoding="utf-8").partition("# ///\n")[0])
    assert {'requires-python = ">=3.10"', 'dependencies = ["hf-toedit"]'} <= set(block)
    if sys.version_info >= (3, 11):
        import tomllib

        assert tomllib.loads("\n".join(block[1:]))["dependencies"] == ["hf-toedit"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_its_help_names_what_matters_and_every_option_of_edit(hf_toedit: HfToEdit, script: Path) -> None:
    said = hf_toedit("--help", script=script)
    assert said.code == 0, said
    for word in (
        "Source:",
        "Edited:",
        "Context:",
        "Splits:",
        "Licence:",
        f"uv run {script.name}",
        f"uv run dataset_scripts/{script.name}",
    ):
        assert word in said.stdout
    options = re.findall(r"--[a-z-]+", hf_toedit("edit", "--help").stdout)
    assert set(options) <= set(re.findall(r"--[a-z-]+", said.stdout))


def test_the_table_of_the_scripts_is_whole() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\| \[`(\w+\.py)`\]", table) == sorted(
        (script.name for script in SCRIPTS), key=lambda name: (name != "toedit.py", name)
    )
