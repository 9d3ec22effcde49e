"""A Hub with small repositories in the layout that the scripts expect, and the scripts themselves."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from datasets import Dataset, Features, Value

from tests.cli.command import HfToEdit
from tests.cli.fixtures import stories
from tests.hub_server import HubServer

DOLMA = (
    {"warc_date": "2019-05-22", "cc_segment": 3},
    {"length": 240, "provenance": {"file": "x", "line": 1}},
    "none",
    {"length": "long", "tags": ["a", 1]},
)
"""`metadata` in each of the files, with different types."""

COSMOPEDIA = ("prompt", "text_token_length", "text", "seed_data", "format", "audience")


def dolma_rows() -> list[list[dict[str, Any]]]:
    """Return the rows of each file of Dolma."""
    told = stories(12)
    files = []
    for number, metadata in enumerate(DOLMA):
        rows = [
            {"id": f"{number}/{index}", "text": text, "source": "wiki", "added": "2023-05-13T18:54:08"}
            for index, text in enumerate(told[number::4])
        ]
        for row in rows:
            row["metadata"] = metadata
        rows[0]["created"] = "2020-01-17T12:48:23.000Z"
        files.append(rows)
    files[1][1]["added"] = "yesterday"
    return files


def instructions(count: int) -> list[dict[str, str]]:
    """Return rows of Natural Instructions."""
    return [
        {"task_name": "task1", "id": f"task1-{number}", "definition": "Go on.", "inputs": text[:100],
         "targets": text[100:]}
        for number, text in enumerate(stories(count))
    ]  # fmt: skip


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(rows: Mapping[str, Any], features: Features | None = None) -> bytes:
    sink = io.BytesIO()
    Dataset.from_dict(dict(rows), features=features).to_parquet(sink)
    return sink.getvalue()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("scripts") / "hf_home") as server:
        _dolma(server)
        _cosmopedia(server)
        _tinystories(server)
        _instructions(server)
        _biomed(server)
        yield server


@pytest.fixture(scope="session")
def command(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    with HfToEdit(tmp_path_factory.mktemp("clients"), hub.env) as command:
        yield command


def _dolma(hub: HubServer) -> None:
    files = {f"v1_7/part-{number}.json.gz": gzip.compress(lines(rows)) for number, rows in enumerate(dolma_rows())}
    sha = hub.create_repo("dataset", "allenai/files", files)
    urls = [f"{hub.endpoint}/datasets/allenai/files/resolve/{sha}/{name}" for name in files]
    repo = {
        "README.md": b"---\nlicense: odc-by\npretty_name: Dolma\n---\n# Dolma\n",
        "dolma.py": b"raise SystemExit('a loading script must not be run')\n",
        "urls/v1_7.txt": "\n".join(urls).encode(),
        "urls/v1_6-sample.txt": f"# one file\n\n{urls[2]}\n".encode(),
    }
    hub.create_repo("dataset", "allenai/dolma", repo)


def _cosmopedia(hub: HubServer) -> None:
    files = {}
    for number, name in enumerate(("auto_math_text", "khanacademy")):
        columns = {column: [f"{column} {index}" for index in range(3)] for column in COSMOPEDIA}
        columns |= {"text": stories(6)[number::2]}
        features = Features({column: Value("string") for column in COSMOPEDIA} | {"text_token_length": Value("int64")})
        columns["text_token_length"] = [60, 61, 62]
        files[f"data/{name}/train-00000-of-00001.parquet"] = parquet(columns, features)
    configs = "".join(f"- config_name: {name.split('/')[1]}\n  data_files: {name}\n" for name in files)
    files["README.md"] = f"---\nlicense: apache-2.0\nconfigs:\n{configs}---\n".encode()
    hub.create_repo("dataset", "HuggingFaceTB/cosmopedia", files)


def _tinystories(hub: HubServer) -> None:
    told = stories(6)
    files = {f"data/train-0000{part}-of-00002.parquet": parquet({"text": told[2 * part :][:2]}) for part in range(2)}
    files["data/validation-00000-of-00001.parquet"] = parquet({"text": told[4:]})
    files |= {"TinyStories-train.txt": b"one\n<|endoftext|>\n", "Evaluation prompts.yaml": b"- Once\n"}
    files["README.md"] = b"---\nlanguage: [en]\n---\n"  # without a licence, so that the recipe's licence is used
    hub.create_repo("dataset", "roneneldan/TinyStories", files)


def _instructions(hub: HubServer) -> None:
    rows = instructions(6)
    files = {
        "train/task1_train.jsonl": lines(rows[:2]),
        "train/task2_train.jsonl": lines(rows[2:4]),
        "test/task3_test.jsonl": lines(rows[4:]),
        "get_ni.py": b"",
        "README.md": b"---\nlanguage: [en]\ntask_categories: [other]\n---\n",
    }
    hub.create_repo("dataset", "Muennighoff/natural-instructions", files)


def _biomed(hub: HubServer) -> None:
    told = stories(4)
    index = [{"source": ["part-0/shard/00000.jsonl"], "source_lang": "en", "weight": 1}]
    files = {
        "part-0/shard/00000.jsonl": lines([{"text": text} for text in told[:2]]),
        "part-1/shard/00000.jsonl": lines([{"text": text} for text in told[2:]]),
        "json/train.json": json.dumps(index).encode(),
        "part-0/json/train.json": json.dumps(index).encode(),
        "README.md": b"---\nlicense: other\n---\n",
    }
    hub.create_repo("dataset", "instruction-pretrain/medicine-instruction-augmented-corpora", files)
