"""Datasets and priors of a Hub, through the real clients."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import DatasetDict

from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import rows, stories
from tests.conftest import shared
from tests.hub_server import HubServer
from tests.runs.test_source import check_only_texts_changed


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub") / "hf_home") as server:
        yield server


@pytest.fixture(scope="module")
def command(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    with HfToEdit(tmp_path_factory.mktemp("clients"), hub.env) as command:
        yield command


@pytest.fixture(scope="module")
def commits(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """Two commits of org/stories, the first on no branch any more, and the only one of org/tiny."""
    folder = tmp_path_factory.mktemp("repo")
    old, new = folder / "old.parquet", folder / "new.parquet"
    rows(stories(3)).to_parquet(old)
    rows(stories(5)[3:]).to_parquet(new)
    first = hub.create_repo("dataset", "org/stories", {"data/train.parquet": old.read_bytes()})
    second = hub.commit("dataset", "org/stories", {"data/train.parquet": new.read_bytes()})
    return first, second, hub.create_repo("model", "org/tiny", shared("models/stories260K"))


def test_pinned(command: HfToEdit, commits: tuple[str, str, str], tmp_path: Path) -> None:
    first, _, prior = commits
    pins = "--revision", first, "--prior", "org/tiny", "--prior-revision", prior
    run = command.edit("org/stories", tmp_path / "run", *pins)
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert (plan["source_revision"], plan["prior_revision"]) == (first, prior)
    check_only_texts_changed(DatasetDict({"train": rows(stories(3))}), run)


def test_branches_are_pinned_to_the_commits_they_name(
    command: HfToEdit, commits: tuple[str, str, str], tmp_path: Path
) -> None:
    _, second, prior = commits
    run = command.edit("org/stories", tmp_path / "run", "--prior", "org/tiny")
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert (plan["source_revision"], plan["prior_revision"]) == (second, prior)
    check_only_texts_changed(DatasetDict({"train": rows(stories(5)[3:])}), run)


def test_a_prior_that_was_downloaded_serves_without_a_hub(
    command: HfToEdit, commits: tuple[str, str, str], tmp_path: Path
) -> None:
    command.edit("org/stories", tmp_path / "online", "--prior", "org/tiny")
    with HfToEdit(command.home, {**os.environ, "HF_HUB_OFFLINE": "1"}) as offline:
        for name, pin in (("pinned", ["--prior-revision", commits[2]]), ("unpinned", [])):
            run = offline.edit("sample", tmp_path / name, "--prior", "org/tiny", *pin, "--limit", 1)
            assert json.loads((run / "toedit/plan.json").read_text())["prior_revision"] == commits[2]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["org/absent"], "dataset 'org/absent'"),
        (["org/stories", "--revision", "nope"], "'org/stories' at revision 'nope' does not exist on the Hub"),
        (["org/stories", "--split", "tran"], "has no split 'tran'. Did you mean 'train'?"),
        (["org/stories", "--prior", "org/absent"], "unknown prior 'org/absent'"),
        (["org/stories", "--prior", "org/tiny", "--prior-revision", "nope"], "at revision 'nope' does not exist"),
    ],
)
def test_what_is_not_there_is_named(
    command: HfToEdit, commits: tuple[str, str, str], args: list[str], expected: str, tmp_path: Path
) -> None:
    assert expected in command.fails("edit", args[0], "-o", tmp_path / "run", *eager(), *args[1:])
    assert not (tmp_path / "run").exists()
