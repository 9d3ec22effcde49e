"""`hf toedit …`: the real `hf extensions install` downloads this checkout from a GitHub on the loopback interface."""

from __future__ import annotations

import io
import json
import os
import ssl
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
from datasets import load_dataset

import hf_toedit
from tests.hub_server import STRIPPED_ENV
from tests.shared import lacking

pytest.importorskip("huggingface_hub.cli.extensions", reason="this huggingface_hub has no extensions")

ROOT = Path(__file__).parents[2]
HF = Path(sys.executable).with_name("hf")
OWNER = "someone"
COMMIT = "c0ffee" * 6 + "c0de"
HOSTS = ("github.com", "raw.githubusercontent.com")


def archive() -> bytes:
    """Return an archive of the package as GitHub creates it: everything is in one folder."""
    content = io.BytesIO()
    package = [path for path in (ROOT / "hf_toedit").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    with zipfile.ZipFile(content, "w") as packed:
        for path in [*package, *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))]:
            packed.write(path, f"hf-toedit-{COMMIT}/{path.relative_to(ROOT)}")
    return content.getvalue()


class GitHub(BaseHTTPRequestHandler):
    """An HTTPS proxy that answers requests itself instead of forwarding them."""

    protocol_version = "HTTP/1.1"
    tls: ssl.SSLContext
    asked: list[str]
    archive: bytes
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200 if self.host in HOSTS else 403)
        self.end_headers()
        if self.host in HOSTS:
            self.request = self.tls.wrap_socket(self.connection, server_side=True)
            self.setup()
            self.close_connection = False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(f"{self.command} {self.host}{path}")
        body = self._found(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    do_HEAD = do_GET

    def _found(self, path: str) -> bytes | None:
        repo = f"/{OWNER}/hf-toedit"
        if self.host == "raw.githubusercontent.com":
            file = ROOT / path.removeprefix(f"{repo}/HEAD/")
            return file.read_bytes() if file.is_file() else None
        pages = {
            repo: b"",
            f"{repo}/archive/HEAD.zip": self.archive,
            f"{repo}.git/info/refs": f"{COMMIT} HEAD\0".encode(),
        }
        return pages.get(path) if self.host == "github.com" else None

    def log_message(self, format: str, *args: object) -> None:
        """Discard log messages, to keep stderr for the tests."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user who has Python and `hf`, but not `uv`."""
    kept = {name: value for name, value in os.environ.items() if not STRIPPED_ENV.match(name) and name[:4] != "PIP_"}
    kept.pop("PYTHONPATH", None)
    silent = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "COLUMNS": "200"}
    return {**kept, **silent, "HOME": str(home), "PATH": str(home)}


@pytest.fixture(scope="module")
def github(home: Path) -> Iterator[dict[str, str]]:
    """Return variables that direct clients to the stand-in."""
    key, certificate = home / "key.pem", home / "certificate.pem"
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOSTS[0]}"]
    files = ["-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run([*make, *files], check=True, capture_output=True)
    except FileNotFoundError:
        lacking("openssl")
    GitHub.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    GitHub.tls.load_cert_chain(certificate, key)
    GitHub.asked, GitHub.archive = [], archive()
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    trusted = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(certificate))
    yield {**trusted, "HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}", "NO_PROXY": ""}
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def installed(home: Path, environment: dict[str, str], github: dict[str, str]) -> Path:
    """Install the extension, and return its folder; its dependencies are those of the tests, not downloads."""
    tools = home / "tools"
    tools.mkdir()
    for name in {file.parts[0] for file in distribution("setuptools").files or () if ".." not in file.parts}:
        (tools / name).symlink_to(Path(str(distribution("setuptools").locate_file(name))))
    # In pip's reading of the environment, the last value disables build isolation.
    pip = {"PIP_NO_DEPS": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    done = subprocess.run(
        [HF, "extensions", "install", f"{OWNER}/hf-toedit"],
        env={**environment, **github, **pip, "PYTHONPATH": str(tools)},
        capture_output=True, text=True, timeout=200, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    folder = home / ".local/share/hf/extensions/hf-toedit"
    (site,) = folder.glob("venv/lib/python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path(name) for name in ("purelib", "platlib")}))
    return folder


@pytest.fixture
def hf(installed: Path, environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Return the `hf` command, without network access."""

    def run(*args: str, code: int = 0) -> str:
        offline = {**environment, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run([HF, *args], env=offline, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_it_is_installed_as_a_python_package(installed: Path) -> None:
    """A file `hf-toedit` at the root of the repository would be installed as the program instead."""
    manifest = json.loads((installed / "manifest.json").read_text())
    assert manifest["type"] == "python"
    assert manifest["commit_sha"] == COMMIT
    assert manifest["description"].startswith("Edit the text datasets")
    assert Path(manifest["executable_path"]) == (installed / "venv/bin/hf-toedit").resolve()
    assert f"GET raw.githubusercontent.com/{OWNER}/hf-toedit/HEAD/hf-toedit" in GitHub.asked
    where = [installed / "venv/bin/python", "-c", "import hf_toedit; print(hf_toedit.__file__)"]
    found = subprocess.run(where, env={"PATH": ""}, check=True, capture_output=True, text=True, cwd=installed)
    assert found.stdout.startswith(str(installed))


def test_hf_hands_over_commands_and_exit_codes(hf: Callable[..., str], tmp_path: Path) -> None:
    assert hf("toedit", "--version").strip().endswith(hf_toedit.__version__)
    assert (
        hf("toedit", "edit", "sample", "--limit", "2", "--threshold", "0.9", "-o", "run", "--workers", "0", "-q") == ""
    )
    edited = load_dataset(str(tmp_path / "run"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(edited) == 2
    assert any(log["num_changed"] for log in edited["toedit"])
    refused = hf("toedit", "edit", "nowhere", "-o", "other", code=1)
    assert "Error: no file or folder 'nowhere'" in refused


def test_hints_are_commands_that_can_be_typed(hf: Callable[..., str]) -> None:
    """`hf-toedit` is not on the PATH of who installed the extension."""
    planned = hf("toedit", "plan", "sample", "--limit", "2", "-o", "my run")
    assert "Next: hf toedit run 'my run'" in planned
    done = hf("toedit", "run", "my run", "--workers", "0")
    assert "hf toedit verify 'my run'" in done and "hf-toedit verify" not in done
    assert "hf-toedit edit" not in hf("toedit", "edit", "--help")
    assert hf("toedit", "edit", "--nothing", code=2).startswith("Usage: hf toedit edit")
    assert "hf toedit card" in hf("toedit", "card", "nowhere", "--nothing", code=2)
