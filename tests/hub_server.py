"""A Hugging Face Hub on the loopback interface, so that the real clients can be tested without a network.

Only the read side is served. A route is a function decorated with `route`; it gets the server and a `Request` and
returns JSON-able data or a `Response`, or raises `HubError`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.message import Message
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

EPOCH = datetime(2024, 1, 1, tzinfo=timezone.utc)
LFS_SUFFIXES = {".arrow", ".bin", ".bz2", ".gz", ".npy", ".npz", ".parquet", ".pt", ".safetensors", ".xz", ".zip"}
LFS_SIZE = 10 * 1024 * 1024
TAG_KEYS = ("license", "language", "task_categories", "size_categories", "base_model")
# Variables of the caller that would send a client elsewhere, to other credentials or to another cache.
STRIPPED_ENV = re.compile(r"(?i)^(HF_|HUGGING|TRANSFORMERS_|DATASETS_|(https?|all)_proxy$)")


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


@lru_cache(maxsize=1024)
def _oids(data: bytes) -> tuple[str, str]:
    """Return the name git gives a content and the one LFS gives it."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), hashlib.sha256(data).hexdigest()


class HubError(Exception):
    """An answer that is an error, with the headers from which the clients choose their exception class."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}
        present = {name: value for name, value in headers.items() if value}
        self.response = Response(json.dumps({"error": message}).encode(), status, present)


@dataclass
class Response:
    """What goes on the wire."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"


@dataclass
class Request:
    """One request, decoded; `args` holds the named parts of the matched route."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: bytes
    account: Account | None = None
    args: dict[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Tell whether the query string, or the form, switches something on."""
        return self.query.get(name, [""])[0].lower() in ("true", "1")


@dataclass
class Account:
    """The holder of a token: sees the private repos of its namespaces, unless the role is `fineGrained`."""

    name: str
    orgs: set[str] = field(default_factory=set)
    role: str = "write"


@dataclass(frozen=True)
class Commit:
    """A full snapshot of the files, since tests look at states and never at differences."""

    sha: str
    files: Mapping[str, bytes]
    message: str
    date: str
    parent: Commit | None = None

    def history(self) -> list[Commit]:
        """Return this commit and its ancestors, newest first."""
        return [self, *(self.parent.history() if self.parent else [])]

    def folders(self) -> set[str]:
        """Return the paths of all folders."""
        parents = (str(folder) for path in self.files for folder in PurePosixPath(path).parents)
        return {folder for folder in parents if folder != "."}

    def oid(self, path: str) -> str | None:
        """Return an identifier of a file's or a folder's content, None if there is nothing at the path."""
        if path in self.files:
            return self.file_entry(path)["oid"]
        below = sorted((name, _oids(data)[0]) for name, data in self.files.items() if name.startswith(f"{path}/"))
        return _sha1(repr(below)) if below else None

    def file_entry(self, path: str) -> dict[str, Any]:
        """Return a file as the tree routes show it; what the Hub would keep in LFS has the oid of its pointer."""
        data = self.files[path]
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _oids(data)[0]}
        if PurePosixPath(path).suffix in LFS_SUFFIXES or len(data) >= LFS_SIZE:
            sha256 = _oids(data)[1]
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
            entry["oid"] = _oids(pointer)[0]
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": len(pointer)}
        return entry

    def sibling(self, path: str, blobs: bool) -> dict[str, Any]:
        """Return a file as the repo routes show it, where the same facts have other names than in the tree."""
        entry = self.file_entry(path)
        lfs = {"lfs": {**entry["lfs"], "sha256": entry["lfs"]["oid"]}} if "lfs" in entry else {}
        return {"rfilename": path, **({"size": entry["size"], "blobId": entry["oid"], **lfs} if blobs else {})}

    def entry(self, path: str, expand: bool) -> dict[str, Any]:
        """Return a file or a folder as the tree routes show it, with the commit that made it when expanded."""
        is_file = path in self.files
        entry = self.file_entry(path) if is_file else {"type": "directory", "path": path, "size": 0}
        entry["oid"] = self.oid(path)
        if expand:
            last = list(takewhile(lambda commit: commit.oid(path) == entry["oid"], self.history()))[-1]
            entry["lastCommit"] = {"id": last.sha, "title": last.message, "date": last.date}
            if is_file:
                entry["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
        return entry

    def card(self) -> dict[str, Any]:
        """Return the YAML header of README.md, empty where there is none or where it is not a mapping."""
        text = self.files.get("README.md", b"").decode(errors="replace") + "\n"
        match = re.match(r"---\r?\n(.*?)\n---\s", text, re.DOTALL)
        card = yaml.safe_load(match.group(1)) if match else None
        return card if isinstance(card, dict) else {}


@dataclass
class Repo:
    """A model or dataset repository: its commits, oldest first, and the names that point at them."""

    type: str
    id: str
    private: bool = False
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes | None], branch: str = "main", message: str = "Update") -> Commit:
        """Put files on top of a branch, a None deleting its path, and move the branch to the new commit."""
        parent = self.find(self.branches[branch]) if branch in self.branches else None
        snapshot = {**(parent.files if parent else {}), **files}
        kept = {path: data for path, data in sorted(snapshot.items()) if data is not None}
        content = [(path, _oids(data)[0]) for path, data in kept.items()]
        sha = _sha1(repr((self.type, self.id, len(self.commits), parent and parent.sha, message, content)))
        date = (EPOCH + timedelta(minutes=len(self.commits))).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.commits.append(Commit(sha, kept, message, date, parent))
        self.branches[branch] = sha
        return self.commits[-1]

    def find(self, revision: str) -> Commit:
        """Return the commit that a branch, a tag or a full sha names."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        for commit in self.commits:
            if commit.sha == sha:
                return commit
        raise HubError(404, "Invalid rev id", "RevisionNotFound")


Handler = Callable[["HubServer", Request], Any]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
PARTS = {"kind": "models|datasets", "repo": "[^/]+(?:/[^/]+)?", "rev": "refs/[^/]+/[^/]+|[^/]+", "path": ".*"}


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Register a handler for the paths of a template such as `/api/{kind}/{repo}`; GET also answers HEAD."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{PARTS[part[1]]})", template))

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, handler))
        return handler

    return register


class HubServer:
    """Serves repositories from memory, in a thread, between entering and leaving the context.

    Args:
        hf_home: The clients' cache folder.
    """

    token = "hf_local_owner"

    def __init__(self, hf_home: Path) -> None:
        self.hf_home = hf_home
        self.repos: dict[tuple[str, str], Repo] = {}
        self.owner = Account("owner")
        self.accounts = {self.token: self.owner}
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.RLock()

    def __enter__(self) -> HubServer:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._http.daemon_threads = True  # a client's idle keep-alive connection must not hold up the end of a test
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """The base URL, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for a client process: the caller's, less what would lead away from this server."""
        env = {name: value for name, value in os.environ.items() if not STRIPPED_ENV.match(name)}
        env.update(HF_ENDPOINT=self.endpoint, HF_HOME=str(self.hf_home), NO_PROXY="127.0.0.1")
        return {**env, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def create_repo(
        self, repo_type: str, repo_id: str, files: Mapping[str, bytes] | Path, private: bool = False
    ) -> str:
        """Make a repository from contents or from a folder, of which the owner's token is a member.

        Returns:
            The sha of its first commit.
        """
        if isinstance(files, Path):
            found = (path for path in files.rglob("*") if path.is_file())
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in found}
        with self.lock:
            repo = self.repos[repo_type, repo_id] = Repo(repo_type, repo_id, private)
            self.owner.orgs.add(repo_id.split("/")[0])
            return repo.commit(files, message="initial commit").sha

    def commit(self, repo_type: str, repo_id: str, files: Mapping[str, bytes | None], **kwargs: str) -> str:
        """Put files on top of main, a None deleting its path, and return the new sha (kwargs: see `Repo.commit`)."""
        with self.lock:
            return self.repos[repo_type, repo_id].commit(files, **kwargs).sha

    def visible(self, request: Request) -> Repo:
        """Return the repository a request names, hiding a private one from strangers as if it did not exist."""
        repo_type = (request.args.get("kind") or "models").removesuffix("s")
        repo = self.repos.get((repo_type, request.args["repo"]))
        account = request.account
        if repo is not None and not repo.private:
            return repo
        # The Hub answers the anonymous with 401 also where nothing exists, and the clients take the code for it.
        if account is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if repo is None or repo.id.split("/")[0] not in {account.name, *account.orgs}:
            raise HubError(404, "Repository not found", "RepoNotFound")
        if account.role == "fineGrained":
            raise HubError(403, "Forbidden: this token has no access to the repository")
        return repo

    def handle(self, request: Request) -> Response:
        """Answer one request: log it, tell who asks, and hand it to the first route that matches."""
        self.requests.append((request.method, request.path))
        try:
            if token := request.headers.get("Authorization", "").removeprefix("Bearer "):
                if token not in self.accounts:
                    raise HubError(401, "Invalid credentials in Authorization header")
                request.account = self.accounts[token]
            for method, pattern, handler in ROUTES:
                match = pattern.fullmatch(request.path)
                if match and request.method in (method, "HEAD" if method == "GET" else method):
                    request.args = {name: unquote(value) for name, value in match.groupdict(default="").items()}
                    with self.lock:
                        found = handler(self, request)
                    return found if isinstance(found, Response) else Response(json.dumps(found, default=str).encode())
            raise HubError(404, "Not Found")
        except HubError as error:
            return error.response


class _Handler(BaseHTTPRequestHandler):
    """Carries requests to `HubServer.handle`; every answer has a length, so that connections are kept alive."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        response = self.hub.handle(Request(self.command, url.path, parse_qs(url.query), self.headers, body))
        self.send_response(response.status)
        for name, value in {"Content-Type": response.content_type, **response.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Keep stderr for the tests; `HubServer.requests` is the log."""


@route("GET", "/api/whoami-v2")
def _whoami(server: HubServer, request: Request) -> Any:
    account = request.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": name} for name in sorted(account.orgs)]
    auth = {"type": "access_token", "accessToken": {"displayName": "local", "role": account.role}}
    return {"type": "user", "name": account.name, "fullname": account.name, "orgs": orgs, "auth": auth}


@route("GET", "/api/{kind}/{repo}")
@route("GET", "/api/{kind}/{repo}/revision/{rev}")
def _info(server: HubServer, request: Request) -> Any:
    repo = server.visible(request)
    commit = repo.find(request.args.get("rev", "main"))
    card = commit.card()
    tags = [str(tag) for tag in card.get("tags") or []]
    for key in TAG_KEYS:
        values = card.get(key) or []
        tags += [f"{key}:{value}" for value in (values if isinstance(values, list) else [values])]
    info: dict[str, Any] = {"id": repo.id, "sha": commit.sha, "private": repo.private, "tags": tags, "cardData": card}
    info |= {"_id": _sha1(f"{repo.type}/{repo.id}")[:24], "author": repo.id.split("/")[0], "modelId": repo.id}
    info |= {"gated": False, "disabled": False, "downloads": 0, "likes": 0}
    info |= {"createdAt": repo.commits[0].date, "lastModified": commit.date}
    info["siblings"] = [commit.sibling(path, request.flag("blobs")) for path in commit.files]
    if repo.type == "model":
        info |= {name: card[name] for name in ("library_name", "pipeline_tag") if name in card}
    wanted = request.query.get("expand", [])
    return {name: value for name, value in info.items() if not wanted or name in ("_id", "id", *wanted)}


@route("GET", "/api/{kind}/{repo}/tree/{rev}(?:/{path})?")
def _tree(server: HubServer, request: Request) -> Any:
    commit = server.visible(request).find(request.args["rev"])
    top = request.args["path"].strip("/")
    folders = commit.folders()
    if top and top not in folders:
        raise HubError(404, "Entry not found", "EntryNotFound", commit.sha)
    prefix = f"{top}/" if top else ""
    below = [path for path in sorted(folders | set(commit.files)) if path.startswith(prefix)]
    shown = [path for path in below if request.flag("recursive") or "/" not in path[len(prefix) :]]
    return [commit.entry(path, request.flag("expand")) for path in shown]


@route("POST", "/api/{kind}/{repo}/paths-info/{rev}")
def _paths_info(server: HubServer, request: Request) -> Any:
    commit = server.visible(request).find(request.args["rev"])
    request.query |= parse_qs(request.body.decode())
    paths = [path.strip("/") for path in request.query.get("paths", [])]
    return [commit.entry(path, request.flag("expand")) for path in paths if commit.oid(path)]


@route("GET", "/api/{kind}/{repo}/commits/{rev}")
def _commits(server: HubServer, request: Request) -> Any:
    newest = server.visible(request).find(request.args["rev"])
    rest = {"message": "", "authors": [{"user": server.owner.name}]}
    return [{"id": commit.sha, "title": commit.message, "date": commit.date, **rest} for commit in newest.history()]


@route("GET", "/(?:{kind}/)?{repo}/resolve/{rev}/{path}")
def _resolve(server: HubServer, request: Request) -> Response:
    commit = server.visible(request).find(request.args["rev"])
    path = request.args["path"]
    if path not in commit.files:
        raise HubError(404, "Entry not found", "EntryNotFound", commit.sha)
    data, entry = commit.files[path], commit.file_entry(path)
    headers = {"ETag": f'"{entry["oid"]}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if "lfs" in entry:
        # Sent without a redirect: the clients follow one to the same host and would then miss these headers.
        headers |= {"X-Linked-Etag": f'"{entry["lfs"]["oid"]}"', "X-Linked-Size": str(len(data))}
    response = Response(data, 200, headers, "application/octet-stream")
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if span and any(span.groups()):
        first, last = span.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        if start >= stop:
            return Response(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        response.body, response.status = data[start:stop], 206
    return response


@pytest.fixture
def hub_server(tmp_path: Path) -> Iterator[HubServer]:
    """A running, empty Hub whose clients keep their cache in the test's own folder."""
    with HubServer(tmp_path / "hf_home") as server:
        yield server
