"""The wheel holds what the package needs, and works from there alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build folder in the checkout could hold files that the sources no longer have.
    shutil.copytree(ROOT / "hf_toedit", folder / "tree" / "hf_toedit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "tree" / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(build, cwd=folder / "tree", check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_weights_are_in_the_wheel_and_small(unpacked: Path) -> None:
    weights = unpacked / "hf_toedit" / "priors" / "embedded" / "model.safetensors"
    assert 1_000_000 < weights.stat().st_size <= 8_000_000
    names = {file.name for file in weights.parent.iterdir()}
    assert {"config.json", "tokenizer.json", "README.md"} <= names
    assert [name for name in names if name.endswith((".py", ".jsonl"))] == ["__init__.py"]  # no code of its training


def test_style_sheets_are_in_the_wheel(unpacked: Path) -> None:
    there = {path.relative_to(unpacked).as_posix() for path in unpacked.glob("hf_toedit/**/*.css")}
    assert there == {path.relative_to(ROOT).as_posix() for path in ROOT.glob("hf_toedit/**/*.css")}


def test_the_wheel_alone_edits_its_sample(unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    where = subprocess.run(
        [sys.executable, "-c", "import hf_toedit; print(hf_toedit.__file__)"],
        env=environment, cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert str(unpacked) in where.stdout
    command = [sys.executable, "-m", "hf_toedit", "edit", "sample", "--limit", "3", "-o", "run", "--quiet"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "run" / "data" / "gen1" / "train-00000-of-00001.parquet").is_file()
    assert "# hf-toedit sample, edited with ToEdit" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "assets" / "probabilities.png").is_file()
