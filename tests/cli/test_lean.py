"""What needs no model works without torch and transformers: a finished run is looked at, checked, pushed and pulled."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, same
from tests.cli.pushing import FAST
from tests.hub_server import HubServer

ROOT = Path(__file__).parents[2]
WITHOUT = {"torch", "transformers"}


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with hf-toedit and all that it depends on but the libraries that run models."""
    folder = tmp_path_factory.mktemp("lean")
    [listed] = re.findall(r"(?s)\ndependencies = \[(.*?)\n\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = re.findall(r'"(.+)"', listed)
    kept = [name for name in wanted if re.split(r"[^\w-]", name)[0] not in WITHOUT]
    assert len(kept) == len(wanted) - len(WITHOUT)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-compile", "-c", str(ROOT / "constraints.txt"), "setuptools>=77", *kept], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    found = subprocess.run([*pip[:3], "list", "--format=freeze"], check=True, capture_output=True, text=True).stdout
    assert WITHOUT.isdisjoint(line.partition("==")[0] for line in found.splitlines()), found
    return folder / "bin/hf-toedit"


def test_a_finished_run_needs_no_model(
    lean: Path, hf_toedit: HfToEdit, hub_server: HubServer, source: Path, tmp_path: Path
) -> None:
    run = hf_toedit.edit(source, tmp_path / "run", "--generations", 2)
    env = {**hub_server.env, **FAST, "HF_TOKEN": hub_server.token, "HF_HOME": str(tmp_path / "home")}

    def command(*args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([lean, *map(str, args)], env=env, cwd=tmp_path, capture_output=True, text=True)

    def said(*args: object) -> str:
        done = command(*args)
        assert done.returncode == 0, done
        return done.stdout

    assert "changed" in said("status", run)
    assert "Sound" in said("verify", run)
    (run / "README.md").unlink()
    assert "README.md" in said("card", run)
    said("revert", run, "-o", tmp_path / "reverted")
    original = load_dataset("parquet", data_files=str(source), cache_dir=str(tmp_path / "cache"))["train"]
    assert same(load(tmp_path / "reverted")["train"], original)
    repo = f"{hub_server.owner.name}/lean"
    said("push", run, repo)
    said("pull", repo, "-o", tmp_path / "pulled")
    assert "Sound" in said("verify", tmp_path / "pulled", "--no-source")
    for args in (("edit", source, "-o", "new"), ("preview", source), ("plan", source, "-o", "new")):
        done = command(*args)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert re.fullmatch(r"Error: this needs (torch|transformers), which is not installed\. .*\n", done.stderr), done
    assert not (tmp_path / "new").exists()
