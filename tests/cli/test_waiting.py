"""A Hub, store or web server that does not respond: messages while a command waits for it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hf_toedit.errors import KEPT
from hf_toedit.priors.names import REAL_PRIORS, TOY
from tests.cli.command import HfToEdit
from tests.cli.pushing import alone
from tests.hub_server import HubServer
from tests.processes import OwnProcess
from tests.test_hub_server import client

LOOK = r"/api/datasets/org/[\w-]+$"
BUSY = "Hub does not answer (503); retrying {} of 8 in 2 s\n"


@pytest.mark.parametrize(
    "words", [("push", "RUN", "org/busy", "--dry-run"), ("pull", "org/busy", "-o", "x"), ("verify", "org/busy", "-q")]
)
def test_each_retry_is_told_of(hub: HubServer, command: HfToEdit, few: Path, words: tuple[str, ...]) -> None:
    hub.faults.add("GET", LOOK, 503, times=2, retry_after=2)
    said = command(*(few if word == "RUN" else word for word in words)).stderr
    told = "".join(line for line in said.splitlines(keepends=True) if not line.startswith("Error: "))
    assert told == ("" if "-q" in words else BUSY.format(2) + BUSY.format(3))


def test_a_result_for_programs_comes_alone(hub: HubServer, command: HfToEdit, few: Path) -> None:
    hub.faults.add("GET", LOOK, 503, retry_after=2)
    done = command("push", few, "org/busy", "--dry-run", "--json")
    assert (done.code, done.stderr, done.json["num_files_skipped"]) == (0, "", 0)


def test_a_line_comes_at_once(hub: HubServer, few: Path) -> None:
    """The command continues when the Hub has recovered."""
    hub.faults.add("GET", LOOK, 503, times=3)
    words = [sys.executable, "-m", "hf_toedit", "push", str(few), "org/slow", "--dry-run"]
    env = {**hub.env, "HF_TOKEN": hub.token}
    with OwnProcess(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stdout
        before = len(hub.answers)
        while len(hub.answers) == before:
            time.sleep(0.01)
        asked = time.monotonic()
        lines = [process.stderr.readline()]
        assert time.monotonic() - asked < 5  # 1 s on an idle machine
        lines += process.stderr.readlines()
        assert "Would create: repository" in process.stdout.read()
    # Pauses are random: if the first two are short, the first line is the one about the third.
    assert all(re.fullmatch(r"Hub does not answer \(503\); retrying [2-4] of 8 in [1-4] s\n", line) for line in lines)
    assert re.search(r" 4 of 8 in [34] s", lines[-1])


def test_nothing_is_kept_where_nothing_is_written(hub: HubServer, command: HfToEdit, few: Path) -> None:
    for words in (
        ("push", few, "org/none", "--dry-run"),
        ("space", "push", "org/none", "--dry-run"),
        ("jobs", "submit", "sample", "--push-to", "org/none", "--flavor", "l4x1", "--dry-run"),
        ("jobs", "status", "org/none"),
    ):
        hub.faults.add("GET", "/", 503, times=8)
        error = command.fails(*words)
        assert "(503: Service Unavailable). Tried 8 times. Try again later." in error
    hub.faults.add("GET", "/", 503, times=8)
    assert command.fails("push", few, "org/none").endswith(f"Tried 8 times. {KEPT}")


def test_a_worker_and_the_thread_that_pushes_are_heard(
    hub: HubServer, command: HfToEdit, short: Path, tmp_path: Path
) -> None:
    hub.faults.add("POST", "/commit/main", 503, after=1, retry_after=2)
    hub.faults.add("GET", "/api/models/org/absent$", 503, retry_after=2)
    options = "--limit", 6, "--num-shards", 2, "--push-to", "org/heard"
    done = command("edit", short, "-o", tmp_path / "run", *options)
    assert (done.code, done.stderr) == (0, f"{TOY}. Use --prior {REAL_PRIORS}.\n{BUSY.format(2)}"), done
    done = command("edit", short, "-o", tmp_path / "other", "--prior", "org/absent", "--workers", 1)
    assert done.stderr.startswith(BUSY.format(2) + "Error: unknown prior 'org/absent'"), done


def test_libraries_that_repeat_by_themselves_are_told_of(hub: HubServer) -> None:
    hub.create_repo("dataset", "org/file", {"a.txt": b"a" * 10})
    hub.faults.add("GET", "/resolve/", 503, times=2)
    code = """
        import hf_toedit.hub, io, logging
        from huggingface_hub import HfFileSystem, logging as theirs
        theirs.set_verbosity_error()
        stream = io.StringIO()
        logging.getLogger("hf_toedit").addHandler(logging.StreamHandler(stream))
        with HfFileSystem().open("datasets/org/file/a.txt", block_size=4) as file:
            out["read"] = file.read().decode()
        out["told"] = stream.getvalue()
    """
    assert client(hub, code) == {"read": "a" * 10, "told": "Hub does not answer (503); trying again\n"}


@pytest.fixture
def silent() -> Iterator[str]:
    """Start a server that accepts connections and never answers, and return its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_hub_that_never_answers_is_told_of(hub: HubServer, silent: str, tmp_path: Path) -> None:
    env = {**hub.env, "HF_ENDPOINT": silent, "HF_HOME": str(tmp_path)}
    assert _first_line(env, "verify", "org/silent") == "Hub has not answered yet; still waiting\n"


def test_a_hub_that_is_not_there_is_given_up_soon(hub: HubServer, few: Path) -> None:
    done = alone(hub, "push", few, "org/none", "--dry-run", HF_ENDPOINT="http://127.0.0.1:9", HF_TOEDIT_RETRY_S="1")
    *lines, error = done.stderr.splitlines()
    assert lines and all("Hub does not answer (ConnectError); retrying " in line for line in lines)
    assert lines[-1].startswith("Hub does not answer (ConnectError); retrying 4 of 4 in ")
    assert error.endswith("on the Hub (ConnectError). Tried 4 times. Try again later.")


class _Busy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>"
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_storage_that_does_not_answer_is_told_of(hub: HubServer) -> None:
    pytest.importorskip("s3fs")
    keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
    env = {**hub.env, **keys, "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        busy = {**env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        assert re.fullmatch(
            r"s3://bucket does not answer \(503\); retrying \d of 8 in \d s\n",
            _first_line(busy, "status", "s3://bucket/x"),
        )
    finally:
        server.shutdown()
        server.server_close()
    gone = {**env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert re.fullmatch(
        r"s3://bucket does not answer \(\w+\); retrying \d of 4 in \d s\n", _first_line(gone, "status", "s3://bucket/x")
    )


def _first_line(env: dict[str, str], *words: str) -> str:
    """Return the first line of output, with pauses of realistic length, and stop the command."""
    command = [sys.executable, "-m", "hf_toedit", *words]
    env = {**env, "HF_TOEDIT_RETRY_S": "1"}
    with OwnProcess(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = process.stderr.readline()
        process.send_signal(signal.SIGKILL)
    return line
