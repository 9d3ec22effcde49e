"""Runs on the Hub, opened by strangers and by their owner: what is downloaded, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.pushing import FAST
from tests.hub_server import HubServer
from tests.space.test_rows import opened
from tests.test_hub_server import client

LOOK = """
    import urllib.request
    from huggingface_hub import constants
    from hf_toedit.errors import ToEditError
    from hf_toedit.space.opening import Runs
    from hf_toedit.space.settings import SpaceSettings

    def mark(name):  # in the log of the server: what follows is of that name
        try:
            urllib.request.urlopen(f"{constants.ENDPOINT}/mark/{name}")
        except OSError:
            pass

    def refused(settings, name, see=lambda run: None):
        try:
            see(Runs(settings).open(name))
        except ToEditError as error:
            return str(error)
        return "it was not"

    def told(row):
        texts = [[text.label, text.table and [text.table.text, text.table.to_log()]] for text in row.texts]
        return [texts, list(row.sources), dict(row.counts)]

    stranger, runs = SpaceSettings(), Runs(SpaceSettings())
    mark("open")
    run = runs.open("org/edited@main")
    out["name"], out["root"], out["link"] = run.name, run.plan.reading.root, run.link
    mark("row")
    rows = run.rows
    rows.row(2, "train", 0)
    mark("same-group")
    rows.row(2, "train", 1)
    mark("search")
    found = rows.search(2, "train", -1, 1, 2.0, 3.0)
    out["search"] = list(found)
    mark("again")
    assert runs.open("org/edited").rows is rows and runs.get(run.name).rows is rows
    mark("all")
    out["rows"] = [[told(rows.row(g, "train", number)) for number in range(25)] for g in (1, 2)]
    out["differing"] = [rows.differing(rows.row(g, "train", 3)) for g in (1, 2)]

    mark("many")
    many = runs.open("org/many")
    mark("end")
    out["many"] = [many.stats, many.rows.num_rows("train"), told(many.rows.row(1, "train", 24))]
    half = refused(stranger, "org/half", lambda run: run.rows.row(2, "train", 7))
    out["half"] = [runs.open("org/half").rows.generations, half]
    out["prefix"] = told(runs.open("org/several/seeds/one").rows.row(1, "train", 0))
    out["damaged"] = refused(stranger, "org/damaged", lambda run: run.rows.row(1, "train", 0))
    for name in ("org/plain", "org/nothing", "org/secret", "org/secret@main", "org/gated", "org/edited@no-such"):
        out[name] = refused(stranger, name)
    out["own"] = [
        refused(SpaceSettings(source="org/secret"), "org/secret"),
        refused(SpaceSettings(source="org/secret"), "org/secret@main"),
        refused(SpaceSettings(local=True), "org/secret"),
    ]
    owner = Runs(SpaceSettings(source="org/secret"))
    pinned = owner.open("org/secret").name
    out["pinned"] = Runs.open(owner, pinned).name == pinned
"""


@pytest.fixture(scope="module")
def hub_answers(hub: HubServer, sharded: Path) -> dict[str, Any]:
    """Return the results of a process that opens a run in many repositories, and the requests between its marks."""
    files = {str(path.relative_to(sharded)): path.read_bytes() for path in sharded.rglob("*") if path.is_file()}
    sha = hub.create_repo("dataset", "org/edited", files)
    extra = {f"toedit/stats/gen1/extra-{number}.json": b"{}" for number in range(300)}
    hub.create_repo("dataset", "org/many", {**files, **extra})
    hub.create_repo(
        "dataset", "org/half", {name: data for name, data in files.items() if "gen2/train-00001" not in name}
    )
    hub.create_repo("dataset", "org/several", {f"seeds/one/{name}": data for name, data in files.items()})
    hub.create_repo("dataset", "org/damaged", {
        name: b"x" * len(data) if name.startswith("data/gen1/train-00000") else data for name, data in files.items()
    })  # fmt: skip
    hub.create_repo("dataset", "org/plain", {"README.md": b"# Nothing"})
    hub.create_repo("dataset", "org/secret", files, private=True)
    hub.create_repo("dataset", "org/gated", files)
    hub.repos["dataset", "org/gated"].gated = True
    before = len(hub.requests)
    answers = client(hub, LOOK, HF_TOKEN=hub.token, **FAST)
    answers["sha"] = sha
    answers["requests"], name = {}, ""
    for method, path in hub.requests[before:]:
        if path.startswith("/mark/"):
            name = path.removeprefix("/mark/")
            answers["requests"][name] = []
        elif name:
            answers["requests"][name].append((method, path))
    return answers


def test_a_run_on_the_hub_is_pinned_and_names_no_files_here(hub: HubServer, hub_answers: dict[str, Any]) -> None:
    sha = hub_answers["sha"]
    assert (hub_answers["name"], hub_answers["root"]) == (f"org/edited@{sha}", None)
    assert hub_answers["link"] == f"{hub.endpoint}/datasets/org/edited/tree/{sha}"
    assert hub_answers["pinned"]


def test_its_rows_are_those_of_the_folder(hub_answers: dict[str, Any], sharded: Path) -> None:
    rows = opened(sharded).rows
    for generation, found in enumerate(hub_answers["rows"], start=1):
        for number, (texts, sources, counts) in enumerate(found):
            row = rows.row(generation, "train", number)
            held = [[text.label, text.table and [text.table.text, text.table.to_log()]] for text in row.texts]
            assert (texts, sources, counts) == (held, list(row.sources), dict(row.counts))
    assert hub_answers["differing"] == [[[2], []], [[1], []]]


def test_little_is_fetched(hub_answers: dict[str, Any], sharded: Path) -> None:
    requests = hub_answers["requests"]
    assert not [path for _, path in requests["open"] if path.endswith(".parquet")]
    num_records = len([path for path in sharded.rglob("toedit/**/*") if path.is_file()])
    assert len(requests["open"]) <= 2 * num_records + 5
    files = {path.rpartition("/")[2] for _, path in requests["row"] if path.endswith(".parquet")}
    assert files == {"train-00000-of-00004.parquet"} and len(requests["row"]) <= 6, requests["row"]
    assert requests["same-group"] == []
    assert len(requests["search"]) <= 4 * 6 and hub_answers["search"] == [None, 25, 24, True]
    assert all("/api/" in path for _, path in requests["again"]) and len(requests["again"]) == 1


def test_many_records_are_left_where_they_are(hub_answers: dict[str, Any], sharded: Path) -> None:
    assert not [path for _, path in hub_answers["requests"]["many"] if "/stats/" in path]
    stats, num_rows, (texts, *_) = hub_answers["many"]
    row = opened(sharded).rows.row(1, "train", 24)
    assert (stats, num_rows, texts[0][1][0]) == (None, 25, row.texts[0].table and row.texts[0].table.text)


def test_half_pushed_and_elsewhere_in_a_repository(hub_answers: dict[str, Any]) -> None:
    generations, refused = hub_answers["half"]
    assert generations == [1, 2] and "is not done in generation 2" in refused
    assert hub_answers["prefix"] == hub_answers["rows"][0][0]


def test_what_is_refused_and_why(hub_answers: dict[str, Any]) -> None:
    assert "data/gen1/train-00000-of-00004.parquet" in hub_answers["damaged"] and "damaged" in hub_answers["damaged"]
    assert "holds no run of hf-toedit" in hub_answers["org/plain"]
    assert "or gated" in hub_answers["org/gated"]
    assert "at revision 'no-such'" in hub_answers["org/edited@no-such"]
    absent = hub_answers["org/nothing"]
    assert absent == "dataset 'org/nothing' is not on the Hub, or is private. Check the name."
    assert hub_answers["org/secret"] == absent.replace("nothing", "secret")
    assert "or is private" in hub_answers["org/secret@main"]


def test_who_serves_the_demo_may_show_a_private_run(hub_answers: dict[str, Any]) -> None:
    named, another_revision, local = hub_answers["own"]
    assert (named, local) == ("it was not", "it was not")
    assert "or is private" in another_revision


def test_the_token_is_in_no_answer(hub: HubServer, hub_answers: dict[str, Any]) -> None:
    assert hub.token not in json.dumps(hub_answers)
