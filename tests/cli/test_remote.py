"""All commands on a run folder in S3, two engines on one run with kills, and a run folder in a bucket of the Hub."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from datasets import Dataset

from hf_toedit.publish.pull import GUARD
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import load as load_folder
from tests.cli.fixtures import parquet, same, stories
from tests.cli.pushing import FAST, load, pushed
from tests.hub_server import HubServer
from tests.processes import OwnProcess, children
from tests.s3_server import BUCKET, S3Server

KILLS = int(os.environ.get("HF_TOEDIT_REMOTE_KILLS", "3"))
SHARDS = 6
RUN = "my run#1"
URL = f"s3://{BUCKET}/{RUN}"
WHAT = *eager(), "--generations", 2, "--num-shards", SHARDS


@pytest.fixture(scope="module")
def env(s3: S3Server, hub: HubServer) -> dict[str, str]:
    return {
        **hub.env,
        **FAST,
        **s3.env,
        "HF_TOKEN": hub.token,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def cloud(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HfToEdit]:
    """Return the command of a user with access to both stores."""
    with HfToEdit(tmp_path_factory.mktemp("cloud"), env) as command:
        yield command


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "stories.parquet"
    texts = stories(24, 400)
    Dataset.from_dict({"id": list(range(len(texts))), "text": texts}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def local(cloud: HfToEdit, told: Path) -> Path:
    """Execute the same run on the local disk; read-only for tests."""
    run = told.parent / "local"
    _plan(cloud, told, run)
    assert cloud("run", run, "--quiet").code == 0
    return run


def _plan(command: HfToEdit, source: Path, run: object) -> None:
    done = command("plan", source, "-o", run, *WHAT, "--quiet")
    assert (done.code, done.stderr) == (0, ""), done


def _data(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name.endswith(".parquet")}


def test_every_command_works_on_a_run_in_s3(
    s3: S3Server, hub: HubServer, cloud: HfToEdit, told: Path, local: Path, tmp_path: Path
) -> None:
    _plan(cloud, told, URL)
    assert cloud("status", URL, "--json").json["num_done"] == 0
    done = cloud("run", URL, "--workers", 1, "--json").json
    assert (done["run"], done["finished"]) == (URL, True)
    files = s3.files(RUN)
    assert _data(files) == parquet(local)
    assert set(files) == {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert cloud("status", URL, "--json").json["finished"]
    assert "was not verified" in cloud.fails("push", URL, "org/cloud")
    assert cloud("verify", URL, "--json").json["ok"]
    assert cloud("card", URL).stdout.split()[-1] == "run#1/README.md"

    done = cloud("push", URL, "org/cloud", "--json").json
    assert done["num_files_sent"] == 4 * SHARDS + 6
    assert cloud("push", URL, "org/cloud", "--json").json["num_files_sent"] == 0
    there = pushed(hub, "org/cloud").head("main").files
    assert GUARD not in there
    assert _data({name: bytes(content) for name, content in there.items()}) == parquet(local)
    rows = load_folder(local)["train"]
    assert load(hub, ("org/cloud", None, None)) == [{"train": rows["text"][:]}]

    assert cloud("revert", URL, "-o", f"{URL} source", "--quiet").code == 0
    for name, content in s3.files(f"{RUN} source").items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(content)
    assert same(load_folder(tmp_path / "source")["train"], Dataset.from_parquet(str(told)))

    copy = f"{RUN} pulled"
    assert cloud("pull", "org/cloud", "-o", f"s3://{BUCKET}/{copy}", "--quiet").code == 0
    assert _data(s3.files(copy)) == parquet(local)
    s3.delete(copy, f"data/gen2/train-00003-of-{SHARDS:05}.parquet")
    status = cloud("status", f"s3://{BUCKET}/{copy}", "--json").json
    assert (status["num_done"], status["finished"]) == (SHARDS - 1, False)
    damaged = f"data/gen1/train-{SHARDS - 1:05}-of-{SHARDS:05}.parquet"
    s3.put(copy, damaged, bytes(len(files[damaged])))
    assert f"{damaged} is damaged" in cloud("verify", f"s3://{BUCKET}/{copy}", "--no-source").stdout
    half = ["revert", f"s3://{BUCKET}/{copy}", "--generation", 1, "-o", f"s3://{BUCKET}/half"]
    assert f"{damaged}: " in cloud.fails(*half)
    assert s3.files("half") == {}, "the files before the damaged one are not left"


def test_two_engines_that_are_killed_again_and_again_end_as_an_undisturbed_run(
    s3: S3Server, env: dict[str, str], cloud: HfToEdit, told: Path, local: Path
) -> None:
    name, chance = "killed", random.Random(5)
    run = f"s3://{BUCKET}/{name}"
    _plan(cloud, told, run)
    env = {**env, "HF_TOEDIT_JOURNAL_S": "0"}
    command = [sys.executable, "-m", "hf_toedit", "run", run, "--workers", "1", "--quiet"]
    engines: list[subprocess.Popen[bytes]] = []
    killed = {"engine": 0, "worker": 0}
    with ExitStack() as stack:
        while sum(killed.values()) < KILLS:
            engines = [engine for engine in engines if engine.poll() is None]
            while len(engines) < 2:
                begun = OwnProcess(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                engines.append(stack.enter_context(begun))
            _wait_for_progress(s3, name, engines)
            time.sleep(chance.uniform(0, 0.3))
            victim = chance.choice(engines)
            workers = children(victim.pid)
            kind = "worker" if workers and chance.random() < 0.5 else "engine"
            with suppress(ProcessLookupError):
                os.kill(workers[0] if kind == "worker" else victim.pid, signal.SIGKILL)
                killed[kind] += 1
            done = [path for path in s3.names(name) if path.endswith(".parquet")]
            if len(done) > SHARDS:  # leave enough work, in every state that a kill can cause
                for path in chance.sample(done, len(done) // 2):
                    s3.delete(name, path)
        for engine in engines:
            engine.kill()
    assert cloud("run", run, "--quiet").code == 0
    files = s3.files(name)
    assert _data(files) == parquet(local)
    assert {path for path in files if not path.startswith(("toedit/progress/", "toedit/failures/"))} == {
        path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()
    }
    verified = cloud("verify", run, "--json").json
    assert (verified["ok"], verified["num_rows"]) == (True, 2 * 24)


def _wait_for_progress(s3: S3Server, run: str, engines: list[subprocess.Popen[bytes]]) -> None:
    """Wait until there is another data file, or until an engine has ended."""
    before, until = set(s3.names(run)), time.monotonic() + 120
    while time.monotonic() < until and all(engine.poll() is None for engine in engines):
        if any(name.endswith(".parquet") for name in set(s3.names(run)) - before):
            return
        time.sleep(0.02)


def test_a_run_in_a_bucket_of_the_hub(hub: HubServer, cloud: HfToEdit, told: Path, local: Path, tmp_path: Path) -> None:
    """The real client writes to buckets by Xet."""
    pytest.importorskip("hf_xet")
    url = f"hf://buckets/org/bucket/{RUN}"
    hub.buckets["org/bucket"] = {}
    what = *eager(), "--num-shards", 2, "--limit", 4, "--push-to", "org/from-bucket"
    done = cloud("edit", told, "-o", url, *what, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    local = cloud.edit(told, tmp_path / "local", "--num-shards", 2, "--limit", 4, "--flat-columns")
    files = {path.removeprefix(f"{RUN}/"): content for path, content in hub.buckets["org/bucket"].items()}
    assert _data(files) == parquet(local)
    names = {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert set(files) == names | {"toedit/verified.json"}
    assert cloud("status", url, "--json").json["finished"]
    assert cloud("verify", url, "--json").json["ok"]
    assert cloud("push", url, "org/from-bucket", "--json").json["num_files_sent"] == 0
    assert (
        load(hub, (url, None, None), ("org/from-bucket", None, None))
        == [{"train": load_folder(local)["train"]["text"][:]}] * 2
    )
    assert "cannot write hf://buckets/org/missing/run" in cloud.fails(
        "plan", told, "-o", "hf://buckets/org/missing/run"
    )
