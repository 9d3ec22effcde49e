"""With -q or --json only errors and the result are printed, by any library, in any process, on any machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import stories
from tests.cli.test_output import in_terminal

HF_TOEDIT = Path(sys.executable).with_name("hf-toedit")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a dataset whose card has no metadata, which makes `huggingface_hub` warn."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/README.md").write_text("# Stories\n")
    lines = [json.dumps({"text": text}) for text in stories(3)]
    (tmp_path / "data/train.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def _fresh(folder: Path, caches: str) -> dict[str, str]:
    """Return the environment of a user with empty caches, or with caches that are not writable."""
    said = ("PYTHONWARNINGS", "HF_HUB_VERBOSITY", "TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_DEBUG")
    home = {name: str(folder / caches) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")}
    return {**{name: value for name, value in os.environ.items() if name not in said}, **home}


@pytest.mark.parametrize(("caches", "workers"), [("new", 0), ("data/README.md/none", 1)])
def test_an_edit(folder: Path, caches: str, workers: int) -> None:
    env = _fresh(folder, caches) | {"HF_HOME": str(folder / "hf")}
    asked = HF_TOEDIT, "edit", folder / "data", "-o", folder / "run", *eager(), "--workers", workers
    if workers:
        done = subprocess.run([*map(str, asked), "--json"], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["finished"]
    else:
        assert in_terminal(*asked, "-q", env=env) == ("", 0)


def test_other_commands(hf_toedit: HfToEdit, folder: Path) -> None:
    run, data = folder / "run", folder / "data"
    for command in (
        ("plan", data, "-o", run, *eager()),
        ("run", run, "--generations", 2),
        ("verify", run),
        ("card", run),
        ("revert", run, "-o", folder / "reverted"),
        ("plan", data, "--dry-run", *eager()),
    ):
        done = hf_toedit(*command, "-q")
        assert (done.code, done.stdout, done.stderr) == (0, "", ""), command
    for command in (("status", run), ("preview", data, *eager()), ("revert", run, "-o", folder / "again")):
        done = hf_toedit(*command, "--json")
        assert (done.code, done.stderr) == (0, ""), command
        assert done.json
