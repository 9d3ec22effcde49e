"""A Hugging Face Hub on the loopback interface, so that the real clients can be tested without a network.

Tests use `HubServer`: it holds the repositories, checks permissions, and passes requests to the routes, which are in
`tests.hub`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.hub import buckets, discussions, jobs, read, spaces, write  # noqa: F401
from tests.hub.faults import Fault, Faults
from tests.hub.jobs import Job, end_all
from tests.hub.repos import Repo
from tests.hub.wire import ROUTES, Account, Dropped, Handler, HubError, Request, Response

# Variables that would direct a client to another server, other credentials or another cache.
STRIPPED_ENV = re.compile(r"(?i)^(HF_|HUGGING|TRANSFORMERS_|DATASETS_|(https?|all)_proxy$)")


class HubServer:
    """Serves repositories from memory, in a thread, while its context is entered.

    Args:
        hf_home: The clients' cache folder.

    Attributes:
        token: The owner's token, which may read and write; `read_token` is a read-only token of the same owner.
        accounts: Accounts by token.
        page_size: Number of tree entries or discussions per page.
        faults: Faults to inject.
        on_request: Called with each request after it is read and before it is carried out, for instance to kill a
            client; called from several threads if requests are concurrent. It may raise `Dropped` to prevent the
            request from being carried out.
        requests: The method and the path of each request, in order of arrival.
        answers: The method, the path and the status of each answer, in order; 0 if none was sent.
        jobs: All jobs ever created, by id, oldest first.
        buckets: The files of each storage bucket, by path.
        uploads: Number of uploads of each LFS object, by SHA-256.
    """

    token = "hf_local_owner"
    read_token = "hf_local_reader"

    def __init__(self, hf_home: Path) -> None:
        self.hf_home = hf_home
        self.repos: dict[tuple[str, str], Repo] = {}
        self.owner = Account("owner")
        self.accounts = {self.token: self.owner, self.read_token: Account("owner", self.owner.orgs, "read")}
        self.page_size = 1000
        self.faults = Faults()
        self.on_request: Callable[[Request], object] | None = None
        self.requests: list[tuple[str, str]] = []
        self.answers: list[tuple[str, str, int]] = []
        self.jobs: dict[str, Job] = {}
        self.uploads: Counter[str] = Counter()
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.grants: dict[str, tuple[Repo, str, int]] = {}
        self.lock = threading.RLock()
        self.connections = 0
        self._closed = threading.Condition()

    def __enter__(self) -> HubServer:
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        end_all(self)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """Base URL, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """Environment of a client process: the current one, without variables that would lead to another server."""
        env = {name: value for name, value in os.environ.items() if not STRIPPED_ENV.match(name)}
        env.update(HF_ENDPOINT=self.endpoint, HF_HOME=str(self.hf_home), NO_PROXY="127.0.0.1")
        return {**env, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def create_repo(
        self, repo_type: str, repo_id: str, files: Mapping[str, bytes] | Path, private: bool = False
    ) -> str:
        """Create a repository from contents or from a folder; the owner becomes a member of its namespace.

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
        """Commit files to main, and return the new sha; None deletes a path (kwargs: see `Repo.commit`)."""
        with self.lock:
            return self.repos[repo_type, repo_id].commit(files, **kwargs).sha

    def visible(self, request: Request) -> Repo:
        """Return the requested repository; a private one appears missing to others."""
        repo_type = (request.args.get("kind") or "models").removesuffix("s")
        repo = self.repos.get((repo_type, request.args["repo"]))
        account = request.account
        if repo is not None and not repo.private:
            return repo
        # The Hub answers anonymous requests with 401 even for missing repositories; clients rely on the code.
        if account is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        if repo is None or not account.belongs_to(repo.namespace):
            raise HubError(404, "Repository not found", "RepoNotFound")
        if account.role == "fineGrained":
            raise HubError(403, "Forbidden: this token has no access to the repository")
        return repo

    def writer(self, request: Request) -> Account:
        """Return the account of a request, whose token must allow writing."""
        if request.account is None:
            raise HubError(401, "Invalid username or password.")
        if request.account.role != "write":
            raise HubError(403, "Forbidden: you must use a write token")
        return request.account

    def writable(self, request: Request, revision: str | None) -> Repo:
        """Return the repository of a request, if the account may change the revision.

        Anyone can open pull requests (the revision is None), and their authors can change them.
        """
        repo, account = self.visible(request), self.writer(request)
        number = re.fullmatch(r"refs/pr/(\d+)", revision or "")
        own = number and repo.discussion(int(number[1])).author == account.name
        if revision is None or own or account.belongs_to(repo.namespace):
            return repo
        raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")

    def drain(self) -> None:
        """Wait until all requests are carried out, after all clients have ended, including killed ones."""
        with self._closed:
            if not self._closed.wait_for(lambda: self.connections == 0, timeout=60):
                raise TimeoutError("a client is still connected")

    def count_connections(self, change: int) -> None:
        """Count open connections."""
        with self._closed:
            self.connections += change
            self._closed.notify_all()

    def handle(self, request: Request) -> Response | None:
        """Answer a request, and log both; the answer may be None."""
        self.requests.append((request.method, request.path))
        response: Response | None = None
        try:
            if self.on_request:
                self.on_request(request)
            with self.lock:
                fault = self.faults.take(request)
                response = self._carry_out(request, fault)
            if fault:
                fault.spoil(response)
        except Dropped:
            response = None
        self.answers.append((request.method, request.path, response.status if response else 0))
        return response

    def _carry_out(self, request: Request, fault: Fault | None) -> Response:
        """Authenticate a request, and pass it to the first matching route."""
        try:
            if fault:
                fault.refuse()
            if token := request.headers.get("Authorization", "").removeprefix("Bearer "):
                if token not in self.accounts:
                    raise HubError(401, "Invalid credentials in Authorization header")
                request.account = self.accounts[token]
            handler = self._route(request)
            if fault:
                fault.compete(self, request)
            found = handler(self, request)
            return found if isinstance(found, Response) else Response.of_json(found)
        except HubError as error:
            return error.response

    def _route(self, request: Request) -> Handler:
        for method, pattern, handler in ROUTES:
            match = pattern.fullmatch(request.path)
            if match and request.method in (method, "HEAD" if method == "GET" else method):
                request.args = {name: unquote(value) for name, value in match.groupdict(default="").items()}
                return handler
        raise HubError(404, "Not Found")


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client's idle keep-alive connection must not delay the end of a test
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that died."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Passes requests to `HubServer.handle`; every answer has a length, so that connections are kept alive."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body are sent in one packet
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.hub.count_connections(1)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.hub.count_connections(-1)

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        response = None
        if len(body) == length:  # the client did not die while it was sending
            response = self.hub.handle(Request(self.command, url.path, parse_qs(url.query), self.headers, body))
        self.close_connection = self.close_connection or response is None or response.cut
        if response is None:
            return
        self.send_response(response.status)
        for name, value in {"Content-Type": response.content_type, **response.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[: len(response.body) // 2] if response.cut else response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Discard log messages to keep stderr for the tests; `HubServer.requests` is the log."""


@pytest.fixture
def hub_server(tmp_path: Path) -> Iterator[HubServer]:
    """Start an empty Hub, with the clients' cache in the test's own folder."""
    with HubServer(tmp_path / "hf_home") as server:
        yield server
