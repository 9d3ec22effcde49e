"""Tasks that need no model work without torch and transformers: view, verify, push and pull a finished run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from datasets import load_dataset
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, same
from tests.cli.pushing import FAST
from tests.hub_server import HubServer

ROOT = Path(__file__).parents[2]
WITHOUT = {"torch", "transformers"}


def _needed(names: Iterable[str]) -> dict[str, Distribution]:
    """Return the installed distributions that pip needs for some requirements, by name."""
    found: dict[str, Distribution] = {}
    seen, waiting = set(), [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = distribution(name)
        for inner in map(Requirement, found[name].requires or ()):
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(inner)
    return found


def _link(installed: Distribution, packages: Path, suffix: str = "") -> None:
    """Link the distribution's files and folders with a suffix."""
    names = {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}
    for name in names:
        if name.endswith(suffix) and not (packages / name).exists():  # distributions may share a folder
            (packages / name).symlink_to(str(installed.locate_file(name)))


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a virtual environment with hf-toedit and its dependencies, except for the libraries that run models.

    The libraries are links to the installed ones: the same files, without minutes of copying and compiling.
    """
    folder = tmp_path_factory.mktemp("lean")
    [listed] = re.findall(r"(?s)\ndependencies = \[(.*?)\n\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = re.findall(r'"(.+)"', listed)
    kept = [name for name in wanted if Requirement(name).name not in WITHOUT]
    assert len(kept) == len(wanted) - len(WITHOUT)
    needed = _needed(kept)
    assert WITHOUT.isdisjoint(needed), sorted(needed)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for installed in needed.values():
        _link(installed, packages)
    _link(distribution("hf-toedit"), packages, ".dist-info")
    (packages / "hf_toedit.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    return folder / "bin/python"


def test_a_finished_run_needs_no_model(
    lean: Path, hf_toedit: HfToEdit, hub_server: HubServer, source: Path, tmp_path: Path
) -> None:
    run = hf_toedit.edit(source, tmp_path / "run", "--generations", 2)
    env = {**hub_server.env, **FAST, "HF_TOKEN": hub_server.token, "HF_HOME": str(tmp_path / "home")}

    def command(*args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [lean, "-m", "hf_toedit", *map(str, args)], env=env, cwd=tmp_path, capture_output=True, text=True
        )

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
