"""The result of a script is pushed while it is created."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import parquet
from tests.hub_server import HubServer
from tests.scripts.test_scripts import FOLDER, SCRIPTS
from tests.test_hub_server import client


@pytest.fixture(scope="module")
def writer(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    """Return the command of a user who may write."""
    with HfToEdit(tmp_path_factory.mktemp("writer"), {**hub.env, "HF_TOKEN": hub.token}) as command:
        yield command


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_script_makes_is_pushed(hub: HubServer, writer: HfToEdit, script: Path, tmp_path: Path) -> None:
    source = ["roneneldan/TinyStories"] if script.stem == "toedit" else []
    repo_id = f"owner/{script.stem.replace('_', '-')}"
    asked = *source, *eager(), "--limit", 2, "--quiet", "--push-to", repo_id
    done = writer(*asked, cwd=tmp_path, script=FOLDER / script.name)
    assert done.code == 0, done
    pushed = hub.repos["dataset", repo_id]
    assert pushed.private
    local = parquet(tmp_path / f"{script.stem.replace('_', '-')}-run")
    assert local
    load = """
        from datasets import load_dataset
        out["rows"] = {split: len(rows) for split, rows in load_dataset(sys.argv[1]).items()}
        from huggingface_hub import HfApi, hf_hub_download
        out["files"] = [name for name in HfApi().list_repo_files(sys.argv[1], repo_type="dataset")]
        out["same"] = [
            open(hf_hub_download(sys.argv[1], name, repo_type="dataset"), "rb").read().hex() for name in sys.argv[2:]
        ]
    """
    found = client(hub, load, repo_id, *local, HF_TOKEN=hub.token)
    assert set(found["rows"].values()) == {2}
    assert {"README.md", "toedit/plan.json", *local} <= set(found["files"])
    assert [bytes.fromhex(data) for data in found["same"]] == list(local.values())
