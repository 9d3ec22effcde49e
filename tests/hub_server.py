"""A Hugging Face Hub on the loopback interface, so that the real clients can be tested without a network.

`HubServer` is what tests use: it holds the repositories, knows who may do what, and hands requests to the routes,
which are in `tests.hub`.
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

# Variables of the caller that would send a client elsewhere, to other credentials or to another cache.
STRIPPED_ENV = re.compile(r"(?i)^(HF_|HUGGING|TRANSFORMERS_|DATASETS_|(https?|all)_proxy$)")


class HubServer:
    """Serves repositories from memory, in a thread, between entering and leaving the context.

    Args:
        hf_home: The clients' cache folder.

    Attributes:
        token: The owner's token, which may read and write; `read_token` is the same person's that may only read.
        accounts: Who holds which token.
        page_size: How many entries of a tree, or how many discussions, one answer holds.
        faults: What shall go wrong.
        on_request: Called with each request once it is read and before anything else, for instance to kill a client,
            and from several threads at once where there are several requests at once; may raise `Dropped` so that
            the request is not carried out.
        requests: The method and the path of each request, in the order of their arrival.
        answers: The method, the path and the status of each answer, in their order; 0 where none was sent.
        jobs: That were ever created, by id, the oldest first.
        buckets: The files of each storage bucket, by path.
        uploads: How often the content of each LFS object was received, by SHA-256.
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
        if repo is None or not account.belongs_to(repo.namespace):
            raise HubError(404, "Repository not found", "RepoNotFound")
        if account.role == "fineGrained":
            raise HubError(403, "Forbidden: this token has no access to the repository")
        return repo

    def writer(self, request: Request) -> Account:
        """Return who asks, who must have a token that may write."""
        if request.account is None:
            raise HubError(401, "Invalid username or password.")
        if request.account.role != "write":
            raise HubError(403, "Forbidden: you must use a write token")
        return request.account

    def writable(self, request: Request, revision: str | None) -> Repo:
        """Return the repository a request names, whose revision it must be allowed to change.

        Pull requests can be opened by anyone, for which the revision is None, and are changed by whoever opened them.
        """
        repo, account = self.visible(request), self.writer(request)
        number = re.fullmatch(r"refs/pr/(\d+)", revision or "")
        own = number and repo.discussion(int(number[1])).author == account.name
        if revision is None or own or account.belongs_to(repo.namespace):
            return repo
        raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")

    def drain(self) -> None:
        """Wait until all that clients have sent is carried out, once they have all ended, killed ones among them."""
        with self._closed:
            if not self._closed.wait_for(lambda: self.connections == 0, timeout=60):
                raise TimeoutError("a client is still connected")

    def count_connections(self, change: int) -> None:
        """Take note that a connection was opened or closed."""
        with self._closed:
            self.connections += change
            self._closed.notify_all()

    def handle(self, request: Request) -> Response | None:
        """Answer one request, with None for no answer at all, and log both."""
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
        """Tell who asks, and hand the request to the first route that matches."""
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
    daemon_threads = True  # a client's idle keep-alive connection must not hold up the end of a test
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that died."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Carries requests to `HubServer.handle`; every answer has a length, so that connections are kept alive."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one packet
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
        """Keep stderr for the tests; `HubServer.requests` is the log."""


@pytest.fixture
def hub_server(tmp_path: Path) -> Iterator[HubServer]:
    """A running, empty Hub whose clients keep their cache in the test's own folder."""
    with HubServer(tmp_path / "hf_home") as server:
        yield server
