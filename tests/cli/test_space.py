"""`hf-toedit space`: served locally, and pushed to a local Hub, from which it is downloaded and started."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from hf_toedit import __version__
from hf_toedit.space.repository import GRADIO
from tests.cli.command import HfToEdit
from tests.hub.repos import Repo
from tests.hub_server import HubServer
from tests.shared import shared
from tests.test_hub_server import client

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300
OURS = {"README.md", "app.py", "requirements.txt"}


def space(hub: HubServer, name: str) -> Repo:
    return hub.repos["space", name]


def front_matter(text: str) -> dict[str, object]:
    return yaml.safe_load(text.split("---\n")[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def process(*words: object, **how: object) -> Iterator[subprocess.Popen[str]]:
    """Start a process that ends with the test."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *map(str, words)], **streams, **how) as started:  # type: ignore[call-overload]
        try:
            yield started
        finally:
            started.kill()


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def test_a_space_is_pushed_and_starts(hub: HubServer, command: HfToEdit, tmp_path: Path) -> None:
    told = command("space", "push", "org/toedit-demo")
    assert (told.code, told.stderr) == (0, "")
    made, sent = told.stdout.splitlines()
    assert made == "Created: Space org/toedit-demo (private)"
    assert sent == f"Sent: app.py, README.md, requirements.txt. {hub.endpoint}/spaces/org/toedit-demo"
    repo = space(hub, "org/toedit-demo")
    assert repo.private and repo.hardware == "cpu-basic"
    files = {path: data.decode() for path, data in repo.head("main").files.items()}
    assert files.keys() == {*OURS, ".gitattributes"}
    assert files["requirements.txt"] == f"hf-toedit[space]=={__version__}\n"
    front = front_matter(files["README.md"])
    assert len(str(front["short_description"])) <= 60
    assert front.items() >= {"sdk": "gradio", "sdk_version": GRADIO, "app_file": "app.py", "title": "ToEdit"}.items()
    assert not any(hub.token in text for text in files.values())

    fetch = f"""
    from huggingface_hub import snapshot_download
    out["folder"] = snapshot_download("org/toedit-demo", repo_type="space", local_dir={str(tmp_path / "space")!r})
    """
    folder = client(hub, fetch, HF_TOKEN=hub.token)["folder"]
    port = free_port()
    env = environment(GRADIO_SERVER_NAME="127.0.0.1", GRADIO_SERVER_PORT=str(port))
    with process("app.py", cwd=folder, env=env) as app:
        address = f"http://127.0.0.1:{port}"
        wait_for(app, address)
        assert json.loads(page(f"{address}/config"))["title"].startswith("ToEdit") and "window.gradio_config" in page(
            address
        )


def wait_for(app: subprocess.Popen[str], address: str) -> None:
    """Wait until a server listens on an address."""
    port = int(address.rpartition(":")[2])
    for _ in range(10 * PATIENCE_S):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        try:
            app.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the app ended: {app.communicate()}")
    pytest.fail("the app does not listen")


def test_pushing_again_sends_what_changed_and_keeps_what_people_wrote(hub: HubServer, command: HfToEdit) -> None:
    name = "org/again"
    command("space", "push", name, "--public")
    repo = space(hub, name)
    assert not repo.private
    count = len(repo.commits)
    again = command("space", "push", name)
    assert again.stdout.startswith("Sent: nothing, all files are up to date.")
    assert len(repo.commits) == count

    text = repo.head("main").files["README.md"].decode()
    edited = text.replace("title: ToEdit", "title: Our own title") + "\nOur own words.\n"
    hub.commit("space", name, {"README.md": edited.encode(), "notes.md": b"kept"})
    hub.create_repo("dataset", "org/edited", {"README.md": b""})
    told = command("space", "push", name, "--source", "org/edited", "--hardware", "l4x1", "--json").json
    assert (told["creates"], told["private"], told["changed"]) == (False, False, ["app.py", "README.md"])
    files = {path: data.decode() for path, data in repo.head("main").files.items()}
    assert front_matter(files["README.md"]).items() >= {"title": "Our own title", "datasets": ["org/edited"]}.items()
    assert files["README.md"].endswith("\nOur own words.\n") and files["notes.md"] == "kept"
    assert "source='org/edited'" in files["app.py"]
    assert repo.hardware == "l4x1"
    assert command("space", "push", name, "--source", "org/edited").stdout.startswith("Sent: nothing")
    assert repo.hardware == "l4x1"
    count = len(repo.commits)
    assert (
        "--public does not change that"
        not in command("space", "push", name, "--source", "org/edited", "--public").stdout
    )
    assert len(repo.commits) == count


def test_dry_run_writes_nothing(hub: HubServer, command: HfToEdit) -> None:
    before = len(hub.requests)
    told = command("space", "push", "org/dry", "--hardware", "l4x1", "--dry-run")
    assert told.code == 0, told
    lines = told.stdout.splitlines()
    assert lines[:2] == [
        "Would create: Space org/dry (private)",
        "Would ask for: l4x1 (1x L4, 24 GB, 8 vCPU, 30 GB), $0.80 an hour while it runs",
    ]
    assert [line for line in lines if not line.startswith(" ")][2:] == [
        f"Would send: {path}" for path in ("app.py", "README.md", "requirements.txt")
    ]
    assert f"    hf-toedit[space]=={__version__}" in lines
    assert {method for method, _ in hub.requests[before:]} <= {"GET", "HEAD"}
    assert ("space", "org/dry") not in hub.repos

    facts = command("space", "push", "org/dry", "--dry-run", "--json").json
    assert facts["files"].keys() == OURS
    assert (facts["creates"], facts["private"], facts["hardware"]) == (True, True, None)


def test_a_prior_of_the_hub_is_pinned(hub: HubServer, command: HfToEdit) -> None:
    sha = hub.create_repo("model", "org/space-prior", shared("models/stories260K"))
    files = command("space", "push", "org/x", "--prior", "org/space-prior", "--dry-run", "--json").json["files"]
    assert f"PriorConfig('org/space-prior', revision='{sha}')" in files["app.py"]
    assert front_matter(files["README.md"])["models"] == ["org/space-prior"]
    assert sha in files["README.md"]


def test_what_cannot_be_pushed(hub: HubServer, command: HfToEdit) -> None:
    def refused(*args: object, code: int = 2) -> str:
        return command.fails("space", "push", *args, code=code)

    assert "lacks its owner" in refused("demo")
    assert "is not the name of a repository" in refused("org/a b")
    assert "is on this machine" in refused("org/bad", "--prior", shared("models/stories260K"))
    assert "unknown flavor 'l4x2'. Did you mean 'l4x1'?" in refused("org/bad", "--hardware", "l4x2")
    assert "lends a GPU to functions" in refused("org/bad", "--hardware", "zero-a10g")
    assert "unknown dataset 'org/nothing'" in refused("org/bad", "--source", "org/nothing", code=1)
    assert ("space", "org/bad") not in hub.repos
    hub.create_repo("space", "org/other", {"app.py": b"print('mine')\n", "README.md": b"---\nsdk: gradio\n---\n"})
    for dry in ((), ("--dry-run",)):
        assert "holds something that hf-toedit did not make" in refused("org/other", *dry, code=1)
    assert len(space(hub, "org/other").commits) == 1
    assert "(403: " in refused("strangers/demo", code=1)


def test_it_is_served_until_ctrl_c() -> None:
    port = free_port()
    words = "-m", "hf_toedit", "space", "run", "--port", port
    with process(*words, env=environment()) as app:
        assert app.stdout
        line = app.stdout.readline()
        assert line == f"Serving at http://127.0.0.1:{port}/ until Ctrl-C.\n"
        assert "window.gradio_config" in page(f"http://127.0.0.1:{port}")
        with process(*words, env=environment()) as second:
            told, said = second.communicate(timeout=PATIENCE_S)
            assert (second.returncode, told) == (1, "")
            assert said.startswith(f"Error: cannot listen at 127.0.0.1:{port} (") and said.count("\n") == 1
        app.send_signal(signal.SIGINT)
        assert app.communicate(timeout=PATIENCE_S) == ("", "")
        assert app.returncode == 0


def test_what_cannot_be_served(command: HfToEdit, few: Path) -> None:
    told = command.fails("space", "run", few, "--host", "0.0.0.0", code=2)
    assert "is on this machine, and anyone at 0.0.0.0 could read it" in told
    assert "'nowhere' cannot be opened. Name a run folder, or a dataset" in command.fails("space", "run", "nowhere")
    bare = "import sys; sys.modules['gradio'] = None; from hf_toedit.cli.main import cli; cli(['space', 'run'])"
    done = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    expected = r"Error: the demo needs more packages, .*gradio.*pip install \"hf-toedit\[space\]\"\.\n"
    assert re.fullmatch(expected, done.stderr)


def test_the_gradio_of_a_space_is_the_tested_one() -> None:
    assert f"gradio=={GRADIO}" in (ROOT / "constraints.txt").read_text().splitlines()
