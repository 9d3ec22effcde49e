"""Datasets and priors of a Hub, read by the real clients."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import DatasetDict

from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import rows, stories
from tests.hub_server import HubServer
from tests.shared import shared
from tests.sources.test_source import check_only_texts_changed
from tests.test_hub_server import client


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
    """Return two commits of org/stories, the first no longer on a branch, and the only commit of org/tiny."""
    folder = tmp_path_factory.mktemp("repo")
    old, new = folder / "old.parquet", folder / "new.parquet"
    rows(stories(3)).to_parquet(old)
    rows(stories(5)[3:]).to_parquet(new)
    first = hub.create_repo("dataset", "org/stories", {"data/train.parquet": old.read_bytes()})
    second = hub.commit("dataset", "org/stories", {"data/train.parquet": new.read_bytes()})
    return first, second, hub.create_repo("model", "org/tiny", shared("models/stories260K"))


READ = """
    import json
    from hf_toedit.config import SourceConfig
    from hf_toedit.errors import ToEditError
    from hf_toedit.sources.reading import RowReader
    from hf_toedit.sources.source import open_source

    for name, options in json.loads(sys.argv[1]):
        try:
            source = open_source(SourceConfig(name, **options))
        except ToEditError as error:
            out[name] = str(error)
            continue
        reader = RowReader(source.reading)
        out[name] = {
            "revision": source.revision,
            "format": [source.reading.format, source.reading.options, source.reading.root],
            "texts": {
                split: [row["text"] for file in files for table in reader.tables(file, 1) for row in table.to_pylist()]
                for split, files in source.splits.items()
            },
            "extents": {split: source.extents(split, ["text"], num_shards=9) for split in source.splits},
        }
"""


def test_data_files_of_a_dataset_that_are_not_read_are_named(hub: HubServer) -> None:
    rows = {f"rows/{index}.jsonl": b'{"text": "a"}\n' for index in range(3)}
    others = {"more/x.csv": b"text\na\n", "LICENSE.txt": b"x", ".gitattributes": b"x", "card.png": b"x"}
    hub.create_repo("dataset", "org/mixed", {**rows, **others})
    card = b"---\nconfigs:\n- {config_name: a, data_files: rows/*}\n- {config_name: b, data_files: more/*}\n---\n"
    hub.create_repo("dataset", "org/declared", {**rows, **others, "README.md": card})
    asked = [("org/mixed", {}), ("hf://datasets/org/mixed/rows", {}), ("org/declared", {"config_name": "a"})]
    script = """
    import json
    from hf_toedit.config import SourceConfig
    from hf_toedit.sources.resolve import resolve

    for name, options in json.loads(sys.argv[1]):
        out[name] = resolve(SourceConfig(name, **options)).left_out
"""
    found = client(hub, script, json.dumps(asked), PYTHONPATH=os.getcwd())
    mixed, *others_said = (found[name] for name, _ in asked)
    assert "'org/mixed' holds 1 data file that is not read (1 .csv: 'more/x.csv'), beside 3 .jsonl read" in mixed
    assert mixed.endswith("such as 'hf://datasets/org/mixed/more/*.csv'.")
    assert others_said == ["", ""]


def test_files_are_listed_once_and_read_where_they_are(hub: HubServer) -> None:
    card = """---
configs:
- {config_name: lines, data_files: [{split: train, path: lines/*.jsonl*}, {split: test, path: test.csv}]}
- {config_name: rows, data_files: rows/*.parquet}
---
"""
    lines = [json.dumps({"text": str(index)}) + "\n" for index in range(6)]
    files = {f"lines/{index:02}.jsonl": "".join(lines).encode() for index in range(20)}
    files |= {"lines/20.jsonl.gz": gzip.compress("".join(lines).encode()), "README.md": card.encode()}
    files["lines/21.jsonl"] = b""
    table = pa.table({"text": [str(index) for index in range(6)], "blob": [bytes(1000)] * 6})
    for name in ("a", "b [1]"):
        pq.write_table(table, sink := pa.BufferOutputStream(), row_group_size=4)
        files[f"rows/{name}.parquet"] = sink.getvalue().to_pybytes()
    files["plain/train.tsv"] = files["plain/test.tsv"] = b"n\ttext\n1\t0\n2\t1\n"
    card_free = {name: content for name, content in files.items() if name.startswith("plain/")}
    files["README.md"] = card.replace(", {split: test, path: test.csv}", "").encode()
    sha = hub.create_repo("dataset", "org/many", files)
    hub.create_repo("dataset", "org/plain", card_free)
    whole = [str(index) for index in range(1, 6)]

    asked = [
        ("org/many", {"config_name": "lines"}),
        ("hf://datasets/org/many/rows/*.parquet", {}),
        (f"hf://datasets/org/many@{sha}/lines/20.jsonl.gz", {}),
        ("hf://datasets/org/many/rows/b [1].parquet", {}),
        ("hf://datasets/org/plain@main", {}),
        ("hf://datasets/org/plain/plain", {"split": "test"}),
        ("hf://datasets/org/plain@nope", {}),
        ("hf://datasets/org/plain/absent/*.tsv", {}),
    ]
    before = len(hub.requests)
    found = client(hub, READ, json.dumps(asked), PYTHONPATH=os.getcwd())
    requests = hub.requests[before:]
    config, rows, one, odd, plain, inner, no_revision, no_file = (found[name] for name, _ in asked)
    assert {config["revision"], rows["revision"], one["revision"]} == {sha}
    assert config["texts"] == {"train": whole * 21}
    assert config["format"] == ["json", {}, None]
    assert rows["texts"] == {"train": whole * 2}
    assert [extent[1:2] + extent[3:] for extent in rows["extents"]["train"]] == [[6, [0, 4]]] * 2
    assert one["texts"] == odd["texts"] == {"train": whole}
    assert inner["texts"] == {"test": [1]}
    assert "at revision 'nope' does not exist" in no_revision
    assert "no file matches" in no_file
    assert plain["texts"] == {"train": [1], "test": [1]}
    assert sum("/tree/" in path for _, path in requests) < 20


def test_pinned(command: HfToEdit, commits: tuple[str, str, str], tmp_path: Path) -> None:
    first, _, prior = commits
    pins = "--revision", first, "--prior", "org/tiny", "--prior-revision", prior
    run = command.edit("org/stories", tmp_path / "run", *pins)
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert (plan["source_revision"], plan["task"]["prior_revision"]) == (first, prior)
    check_only_texts_changed(DatasetDict({"train": rows(stories(3))}), run)


def test_branches_are_pinned_to_the_commits_they_name(
    command: HfToEdit, commits: tuple[str, str, str], tmp_path: Path
) -> None:
    _, second, prior = commits
    run = command.edit("org/stories", tmp_path / "run", "--prior", "org/tiny")
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert (plan["source_revision"], plan["task"]["prior_revision"]) == (second, prior)
    check_only_texts_changed(DatasetDict({"train": rows(stories(5)[3:])}), run)


def test_a_prior_that_was_downloaded_serves_without_a_hub(
    command: HfToEdit, commits: tuple[str, str, str], tmp_path: Path
) -> None:
    command.edit("org/stories", tmp_path / "online", "--prior", "org/tiny")
    with HfToEdit(command.home, {**os.environ, "HF_HUB_OFFLINE": "1"}) as offline:
        for name, pin in (("pinned", ["--prior-revision", commits[2]]), ("unpinned", [])):
            run = offline.edit("sample", tmp_path / name, "--prior", "org/tiny", *pin, "--limit", 1)
            assert json.loads((run / "toedit/plan.json").read_text())["task"]["prior_revision"] == commits[2]


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
