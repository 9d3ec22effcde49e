"""Fixtures for the tests of pushing: a Hub, the command with a token, runs, and checks of pushed runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from hf_toedit.publish.pull import GUARD
from hf_toedit.runs.store import RunFolder
from hf_toedit.tasks.edit import generation_pass
from tests.cli.command import Finished, HfToEdit, python
from tests.cli.fixtures import rows, stories
from tests.hub.repos import Commit, Repo
from tests.hub.wire import Dropped, Request
from tests.hub_server import HubServer
from tests.test_hub_server import client

FAST = {"HF_TOEDIT_RETRY_S": "0.001"}
SHARDS = 26
MANY = "--generations", 2, "--score-result", "--num-shards", SHARDS
PLAN = "toedit/plan.json"

LOAD = """
    sys.modules["hf_toedit"] = None  # who loads the data need not have it
    from datasets import load_dataset
    for wanted in json.loads(sys.argv[1]):
        out[json.dumps(wanted)] = found = []
        for streaming in (False, True):
            try:
                loaded = load_dataset(*wanted[:2], revision=wanted[2], streaming=streaming)
                texts = {split: rows.select_columns("text") for split, rows in loaded.items()}
                found.append({split: [row["text"] for row in rows] for split, rows in texts.items()})
            except Exception as exc:
                found.append(f"{type(exc).__name__}: {exc}")
"""


class DiscreetCommand(HfToEdit):
    """The command, with a check that it never prints the token."""

    def __call__(
        self, *args: object, cwd: Path | None = None, kill_when: Callable[[], object] | None = None
    ) -> Finished:
        done = super().__call__(*args, cwd=cwd, kill_when=kill_when)
        assert self.env["HF_TOKEN"] not in done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """Start a Hub on which `org` is an organization."""
    with HubServer(tmp_path_factory.mktemp("hub") / "hf_home") as server:
        server.owner.orgs.add("org")
        yield server
        assert not server.faults.pending


@pytest.fixture(scope="module")
def command(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    """Return the command of a user whose token may write."""
    with DiscreetCommand(tmp_path_factory.mktemp("pusher"), {**hub.env, **FAST, "HF_TOKEN": hub.token}) as command:
        yield command


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a source of short rows, for many shards."""
    path = tmp_path_factory.mktemp("short") / "rows.parquet"
    rows([text[:60] for text in stories(SHARDS)]).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def many(hf_toedit: HfToEdit, short: Path) -> Path:
    """Execute and verify a run with more files than a commit holds; read-only for tests."""
    return verified(hf_toedit, short, short.parent / "many", *MANY)


@pytest.fixture(scope="session")
def few(hf_toedit: HfToEdit, short: Path) -> Path:
    """Execute and verify a run of two shards; read-only for tests."""
    return verified(hf_toedit, short, short.parent / "few", "--limit", 6, "--num-shards", 2)


@pytest.fixture(scope="session")
def other(hf_toedit: HfToEdit, short: Path) -> Path:
    """Execute and verify a run of another plan, with three shards; read-only for tests."""
    return verified(hf_toedit, short, short.parent / "other", "--limit", 6, "--num-shards", 3, "--seed", 5)


def verified(command: HfToEdit, source: Path, run: Path, *options: object) -> Path:
    command.edit(source, run, *options)
    assert command("verify", run, "--quiet").code == 0
    return run


def alone(server: HubServer, *args: object, **env: str) -> Finished:
    """Run the command in a separate process, with its own environment."""
    full = {**server.env, **FAST, "PYTHONPATH": str(Path(__file__).parents[2]), **env}
    return python("import runpy; runpy.run_module('hf_toedit', run_name='__main__')", *map(str, args), env=full)


def interrupted(server: HubServer, path: str, *args: object) -> Finished:
    """Interrupt the command by Ctrl-C while the Hub delays its answer for a path that contains some words."""
    reached, over = threading.Event(), threading.Event()

    def hang(request: Request) -> None:
        if path in request.path:
            reached.set()
            over.wait(600)

    server.on_request = hang
    words = [sys.executable, "-m", "hf_toedit", *map(str, args)]
    env = {**server.env, **FAST, "HF_TOKEN": server.token, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert reached.wait(300)
            process.send_signal(signal.SIGINT)
            told, said = process.communicate(timeout=300)  # the Hub would answer after 600 s
        finally:
            process.kill()
            over.set()
    server.drain()
    server.on_request = None
    return Finished(process.returncode, told, said)


def load(server: HubServer, *wanted: tuple[str, str | None, str | None]) -> list[Any]:
    """Load names, configs and revisions without hf-toedit, and return texts by split, or an error.

    The result is the same for downloading and streaming; errors are returned for both.
    """
    out = client(server, LOAD, json.dumps(wanted), HF_TOKEN=server.token)
    found = []
    for entry in wanted:
        loaded, streamed = out[json.dumps(entry)]
        assert (loaded == streamed) or (isinstance(loaded, str) and isinstance(streamed, str)), (loaded, streamed)
        found.append(loaded)
    return found


def texts(run: Path, generation: int) -> dict[str, list[str | None]]:
    """Return the texts by split of a run folder."""
    folder = RunFolder(run)
    plan = folder.plan()
    found: dict[str, list[str | None]] = {split: [] for split in plan.splits}
    for shard in plan.shards:
        for table in folder.tables(plan, generation_pass(generation), shard, ["text"]):
            found[shard.split] += table.column("text").to_pylist()
    return found


def pushed(server: HubServer, name: str) -> Repo:
    return server.repos["dataset", name]


def files(run: Path, prefix: str = "") -> dict[str, bytes]:
    """Return the files of a run folder that belong on the Hub, except for the plan and the card."""
    patterns = "data/*/*.parquet", "toedit/stats/*/*.json", "assets/*.png"
    found = [path for pattern in patterns for path in run.glob(pattern)]
    return {f"{prefix}{path.relative_to(run)}": path.read_bytes() for path in found}


def check_whole(commit: Commit, run: Path, prefix: str = "", beside: frozenset[str] = frozenset()) -> None:
    """Check that the whole run is on the Hub, byte for byte, and only the named files beside it."""
    there = {path: bytes(data) for path, data in commit.files.items() if path.startswith(prefix)}
    plan = json.loads(there.pop(prefix + PLAN))
    local = json.loads((run / PLAN).read_text())
    assert local["reading"]["root"] is not None
    assert plan == {**local, "reading": {**local["reading"], "root": None}}
    rest = {path: data for path, data in there.items() if path not in {".gitattributes", "README.md", *beside}}
    assert rest == files(run, prefix)
    assert "README.md" in commit.files and GUARD not in commit.files


def check_history(repo: Repo, branch: str = "main") -> list[Commit]:
    """Check that no commit is large or splits a shard, and that the last one added the card and removed the guard.

    Returns:
        The commits before the last, oldest first.
    """
    *before, last = reversed(list(repo.head(branch).history()))
    for parent, commit in zip(before, [*before[1:], last], strict=True):
        assert sum(parent.files.get(path) != data for path, data in commit.files.items()) < 100
    for commit in before:
        folders: dict[str, set[str]] = {}
        for path in map(PurePosixPath, commit.files):
            if path.parts[0] in ("data", "toedit") and len(path.parts) > 2:
                folders.setdefault(str(path.parent), set()).add(path.stem)
        assert len(set(map(frozenset, folders.values()))) <= 1, folders
    assert all("README.md" not in commit.files for commit in before)
    assert all(GUARD in commit.files for commit in before if PLAN in commit.files)
    assert "README.md" in last.files and GUARD not in last.files
    return before


class Stopwatch:
    """Kills a command at its nth request, before or after it is carried out, and drops the command's later requests."""

    def __init__(self, hub: HubServer, number: int, carried_out: bool, path: str = "") -> None:
        self._number, self._carried_out, self._path = number, carried_out, path
        self._lock = threading.Lock()
        self._count = 0
        self._dead = threading.Event()
        self._hub = hub
        self.reached = threading.Event()
        hub.on_request = self._on_request

    def over(self) -> None:
        """Wait until the Hub has finished all requests of the killed command."""
        self._dead.set()
        self._hub.drain()
        self._hub.on_request = None

    def _on_request(self, request: Request) -> None:
        with self._lock:
            self._count += f"{request.method} {request.path}".count(self._path) if self._path else 1
            count = self._count
        if count >= self._number:
            self.reached.set()
            self._dead.wait(60)
            if count > self._number or not self._carried_out:
                raise Dropped
