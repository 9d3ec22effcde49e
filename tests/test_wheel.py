"""The wheel and the source distribution are complete, valid for PyPI, and work on their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata

from hf_toedit.version import __version__

ROOT = Path(__file__).parents[1]
URL = "https://github.com/hf-toedit/hf-toedit"
TRAINS = re.compile(r"\bTrainer\(|\btorch\.optim\b|\.backward\(")
"""Code that trains a model."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution and, from it, the wheel; return their folder."""
    folder = tmp_path_factory.mktemp("dist")
    # Build from a copy: a build folder in the checkout could contain files that the sources no longer have.
    shutil.copytree(ROOT / "hf_toedit", folder / "tree" / "hf_toedit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, folder / "tree" / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "tree")]
    subprocess.run(build, check=True, capture_output=True)
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_pypi_would_take_both(built: Path) -> None:
    files = sorted(built.iterdir())
    assert [file.suffix for file in files] == [".whl", ".gz"]
    assert all(file.stat().st_size < 20_000_000 for file in files)
    check = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_metadata(unpacked: Path) -> None:
    text = (unpacked / f"hf_toedit-{__version__}.dist-info" / "METADATA").read_text(encoding="utf-8")
    metadata = Metadata.from_email(text, validate=True)
    assert metadata.license_expression == "Apache-2.0" and metadata.license_files == ["LICENSE"]
    assert {"Homepage", "Documentation", "Repository", "Issues", "Changelog"} <= (metadata.project_urls or {}).keys()
    assert metadata.description_content_type == "text/markdown" and metadata.description
    assert metadata.keywords and "Typing :: Typed" in (metadata.classifiers or ())


def test_the_wheel_holds_the_package_alone(unpacked: Path) -> None:
    assert sorted(path.name for path in unpacked.iterdir()) == ["hf_toedit", f"hf_toedit-{__version__}.dist-info"]
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.glob("hf_toedit/**/*.*")}
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("hf_toedit/**/*.*")}
    left_out = {name for name in sources - found if "__pycache__" not in name and not name.endswith(".gitattributes")}
    assert found <= sources and all(name.startswith("hf_toedit/sample/documents/") for name in left_out)


def test_only_commands_that_train_have_code_that_trains(unpacked: Path) -> None:
    modules = {
        path.relative_to(unpacked).as_posix(): path.read_text(encoding="utf-8") for path in unpacked.rglob("*.py")
    }
    train = {name for name, code in modules.items() if TRAINS.search(code)}
    assert train == {"hf_toedit/probes/training.py", "hf_toedit/papers/reinforcement/encoder_decoder.py"}


def test_the_source_distribution_holds_no_tests(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2].partition("/")[0] for name in opened.getnames()}
    assert {"hf_toedit", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff"} <= names
    assert names.isdisjoint({"tests", "tools", "benchmarks"})


def test_weights_are_in_the_wheel_and_small(unpacked: Path) -> None:
    weights = unpacked / "hf_toedit" / "priors" / "embedded" / "model.safetensors"
    assert 1_000_000 < weights.stat().st_size <= 16_000_000
    names = {file.name for file in weights.parent.iterdir()}
    assert {"config.json", "tokenizer.json", "README.md"} <= names
    assert [name for name in names if name.endswith((".py", ".jsonl"))] == ["__init__.py"]  # without its training code


def _of_pip(setting: str) -> list[str]:
    """Return the values of a setting of pip, from its files and the environment; uv reads neither."""
    shown = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    found = re.findall(rf"^\S+\.{setting}='(.*)'$", shown.stdout, re.MULTILINE)
    return list(dict.fromkeys(" ".join(found).split()))


def test_uvx_runs_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """It runs in a separate environment, with the dependencies in its metadata."""
    environment = dict(os.environ)
    for variable, setting in (("UV_DEFAULT_INDEX", "index-url"), ("UV_FIND_LINKS", "find-links")):
        if found := _of_pip(setting):
            environment.setdefault(variable, " ".join(found))
    uvx = [sys.executable, "-m", "uv", "tool", "run", "--python", sys.executable, "--quiet"]
    uvx += ["--constraints", str(ROOT / "constraints.txt"), "--from", str(wheel), "hf-toedit"]

    def run(*args: str) -> str:
        done = subprocess.run([*uvx, *args], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version") == f"hf-toedit, version {__version__}\n"
    run("edit", "sample", "--limit", "3", "-o", "run", "--quiet")
    assert (tmp_path / "run" / "data" / "gen1" / "train-00000-of-00001.parquet").is_file()
    assert "# hf-toedit sample, edited with ToEdit" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "assets" / "probabilities.png").is_file()


def test_the_citation_file() -> None:
    """It has the required fields of the Citation File Format, and names this release and both papers."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["type"] == "software"
    assert citation["title"] == "hf-toedit" and citation["version"] == __version__
    assert citation["license"] == "Apache-2.0" and citation["repository-code"] == URL
    papers = citation["references"]
    assert [paper["url"].rpartition("/")[2] for paper in papers] == ["2412.14689", "2406.07515"]
    for entry in (citation, *papers):
        assert entry["title"] and entry["type"]
        assert all(
            author.get("name") or author["family-names"] and author["given-names"] for author in entry["authors"]
        )
