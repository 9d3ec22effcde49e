"""What the tests of pushing share: a Hub, the command with a token of it, runs, and what is asked of a pushed one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hf_toedit.runs.plan import Plan
from hf_toedit.runs.pull import GUARD
from hf_toedit.runs.store import RunFolder
from tests.cli.command import Finished, HfToEdit
from tests.cli.fixtures import rows, stories
from tests.hub.repos import Commit, Repo
from tests.hub_server import HubServer
from tests.test_hub_server import client

FAST = {"HF_TOEDIT_RETRY_S": "0.001"}
SHARDS = 26

LOAD = """
    sys.modules["hf_toedit"] = None  # nobody who loads the data needs it
    from datasets import load_dataset
    for repo, config, revision, prefix in json.loads(sys.argv[1]):
        for streaming in (False, True):
            key = json.dumps([repo, config, revision, prefix, streaming])
            try:
                loaded = load_dataset(repo, config, revision=revision, streaming=streaming)
                out[key] = {split: [row["text"] for row in rows] for split, rows in loaded.items()}
            except Exception as exc:
                out[key] = f"{type(exc).__name__}: {exc}"
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub") / "hf_home") as server:
        server.owner.orgs.add("org")
        yield server


@pytest.fixture(scope="module")
def command(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    """The command of somebody whose token may write."""
    with SecretiveCommand(tmp_path_factory.mktemp("pusher"), {**hub.env, **FAST, "HF_TOKEN": hub.token}) as command:
        yield command


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of short rows, one for each of many shards."""
    path = tmp_path_factory.mktemp("short") / "rows.parquet"
    rows([text[:60] for text in stories(SHARDS)]).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def many(hf_toedit: HfToEdit, short: Path) -> Path:
    """A verified run of more files than fit into one commit; not to be written to."""
    return verified(hf_toedit, short, short.parent / "run", "--generations", 2, "--num-shards", SHARDS)


@pytest.fixture(scope="session")
def few(hf_toedit: HfToEdit, short: Path) -> Path:
    """A verified run of two shards and one generation; not to be written to."""
    return verified(hf_toedit, short, short.parent / "few", "--limit", 6, "--num-shards", 2)


def verified(command: HfToEdit, source: Path, run: Path, *options: object) -> Path:
    command.edit(source, run, *options)
    assert command("verify", run, "--quiet").code == 0
    return run


class SecretiveCommand(HfToEdit):
    """The command, which must never say the token."""

    def __call__(self, *args: object, cwd: Path | None = None, kill_when: Callable[[], object] | None = None) -> Finished:
        done = super().__call__(*args, cwd=cwd, kill_when=kill_when)
        assert self.env["HF_TOKEN"] not in done.stdout + done.stderr
        return done


def alone(server: HubServer, *args: object, **env: str) -> Finished:
    """The command in a process of its own, with an environment of its own."""
    command = [sys.executable, "-m", "hf_toedit", *map(str, args)]
    full = {**server.env, **FAST, "PYTHONPATH": str(Path(__file__).parents[2]), **env}
    done = subprocess.run(command, env=full, capture_output=True, text=True, timeout=120)
    return Finished(done.returncode, done.stdout, done.stderr)


def load(server: HubServer, *wanted: tuple[str, str | None, str | None], fresh: str = "cache") -> list[Any]:
    """What users get, loaded and streamed, of some datasets, configs and revisions: texts by split, or the error."""
    asked = [[*entry, ""] for entry in wanted]
    import json

    out = client(server, LOAD, json.dumps(asked), HF_TOKEN=server.token, HF_HOME=str(server.hf_home / fresh))
    found = []
    for entry in asked:
        loaded, streamed = (out[json.dumps([*entry, streaming])] for streaming in (False, True))
        assert type(loaded) is type(streamed) and (isinstance(loaded, str) or loaded == streamed), (loaded, streamed)
        found.append(loaded)
    return found


def texts(run: Path, generation: int) -> dict[str, list[str | None]]:
    """The same from the run folder."""
    folder = RunFolder(run)
    plan = folder.plan()
    found: dict[str, list[str | None]] = {split: [] for split in plan.splits}
    for shard in plan.shards:
        for table in folder.tables(generation, shard, ["text"]):
            found[shard.split] += table.column("text").to_pylist()
    return found


def repo_of(server: HubServer, name: str) -> Repo:
    return server.repos["dataset", name]


def files_of(run: Path, prefix: str = "") -> dict[str, bytes]:
    """What of a run belongs on the Hub, but for the plan and the card."""
    kept = ("data/*/*.parquet", "toedit/stats/*/*.json", "assets/*")
    return {f"{prefix}{path.relative_to(run)}": path.read_bytes() for pattern in kept for path in run.glob(pattern)}


def check_pushed(server: HubServer, name: str, run: Path, *, revision: str = "main", prefix: str = "") -> Commit:
    """Everything is there, byte for byte, and nothing else; the card came with the last commit, and only with it."""
    repo = repo_of(server, name)
    head = repo.head(revision)
    there = {path: bytes(data) for path, data in head.files.items() if path.startswith(prefix)}
    plan = there.pop(f"{prefix}toedit/plan.json")
    for path in (".gitattributes", "README.md"):
        there.pop(path, None)
    assert there == files_of(run, prefix)
    assert b'"root": null' in plan and str(run.parent).encode() not in plan.partition(b'"provenance"')[2][:0]
    return head


def plan_of(run: Path) -> Plan:
    return RunFolder(run).plan()


def is_guarded(commit: Commit) -> bool:
    return GUARD in commit.files


def environment(server: HubServer, token: str) -> Mapping[str, str]:
    return {**server.env, **FAST, "HF_TOKEN": token}
