"""Jobs: rented containers, which are local processes here, with only the given files and variables."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.hub.wire import HubError, Request, Response, route

if TYPE_CHECKING:
    from tests.hub_server import HubServer

LABEL = re.compile(r"[a-zA-Z0-9_-]{1,100}")
NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")
L4 = {"type": "gpu", "model": "L4", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"}
HARDWARE = [
    {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB", "accelerator": None,
     "unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute"},
    {"name": "l4x1", "prettyName": "1x Nvidia L4", "cpu": "8 vCPU", "ram": "30 GB", "accelerator": L4,
     "unitCostMicroUSD": 13333, "unitCostUSD": 0.013333, "unitLabel": "minute"},
    {"name": "by-token", "prettyName": "By token", "cpu": "2 vCPU", "ram": "16 GB", "accelerator": None,
     "unitCostMicroUSD": 1, "unitCostUSD": 0.000001, "unitLabel": "token"},
]  # fmt: skip
"""Hardware as the Hub lists it; the prices are those of this server only."""

ALIVE = "SCHEDULING", "RUNNING"
INSTALL = ["uv", "run", "--with"]
CHECKOUT = Path(__file__).parents[2]


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Job:
    """A job, restarted until it succeeds or has no attempts left.

    Attributes:
        log: Path of the output of all attempts.
        attempts: Number of attempts so far.
        process: Process of the current or last attempt.
    """

    id: str
    namespace: str
    spec: dict[str, Any]
    log: Path
    stage: str = "SCHEDULING"
    created: str = field(default_factory=now)
    started: str | None = None
    attempts: int = 0
    process: subprocess.Popen[bytes] | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, server: HubServer) -> None:
        """Start attempts until one succeeds."""
        while process := self._attempt(server):
            code = self._end_of(process)
            with server.lock:
                if code == 0 and self.stage == "RUNNING":
                    self.stage = "COMPLETED"
        self.ended.set()

    def asks(self, request: Request) -> bool:
        """Whether a request comes from this job."""
        return f"job-{self.id}" in request.headers.get("User-Agent", "")

    def cancel(self) -> None:
        """Cancel the job; the caller holds the server's lock."""
        if self.stage in ALIVE:
            self.stage = "CANCELED"
            if self.process:
                self.process.terminate()

    def _attempt(self, server: HubServer) -> subprocess.Popen[bytes] | None:
        """Start another attempt unless the job is over; the lock prevents a start after cancellation."""
        with server.lock:
            if self.stage not in ALIVE:
                return None
            if self.attempts == self.spec.get("attempts", 1):
                self.stage = "ERROR"
                return None
            self.attempts += 1
            self.stage, self.started = "RUNNING", self.started or now()
            self.process = self._begin(server)
            return self.process

    def _begin(self, server: HubServer) -> subprocess.Popen[bytes]:
        """Start the command; this checkout and its environment replace what `uv` would install."""
        words = list(self.spec["command"])
        if words[:3] == INSTALL and words[4:5] == ["hf-toedit"]:
            words = [sys.executable, "-m", "hf_toedit", *words[5:]]
        home = self.log.with_suffix("")
        home.mkdir(exist_ok=True)
        env = {**server.env, "HF_HOME": str(home / "hf_home"), "TMPDIR": str(home), "PYTHONPATH": str(CHECKOUT)}
        env |= {"OMP_NUM_THREADS": "1", "HF_TOEDIT_RETRY_S": "0.01"}
        env["HF_HUB_USER_AGENT_ORIGIN"] = f"job-{self.id}"  # identifies its requests
        env |= self.spec.get("environment", {}) | self.spec.get("secrets", {})
        with self.log.open("ab") as log:
            return subprocess.Popen(words, env=env, cwd=home, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _end_of(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self.spec.get("timeoutSeconds", 1800))
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def info(self) -> dict[str, Any]:
        """Return the job as the Hub reports it: with the names of secrets, but not their values."""
        known = "dockerImage", "command", "arguments", "environment", "flavor", "labels"
        secrets = dict.fromkeys(self.spec.get("secrets", {}), "")
        return {
            "id": self.id,
            "createdAt": self.created,
            "startedAt": self.started,
            "owner": {"id": self.namespace, "name": self.namespace, "type": "user"},
            "status": {"stage": self.stage, "message": None},
            "retry": self.spec.get("attempts", 1) - 1,
            "durations": {"schedulingSecs": 0, "runningSecs": 1 if self.started else None, "totalSecs": 1},
            "secrets": secrets,
            **{name: self.spec.get(name) for name in known},
        }


def end_all(server: HubServer) -> None:
    """End all processes."""
    with server.lock:
        for job in server.jobs.values():
            job.stage = "DELETED" if job.stage in ALIVE else job.stage
            if job.process and job.process.poll() is None:
                job.process.kill()
    for job in server.jobs.values():
        job.ended.wait(60)


@route("GET", "/api/jobs/hardware")
def _hardware(server: HubServer, request: Request) -> Any:
    return HARDWARE


@route("POST", "/api/jobs/{namespace}")
def _create(server: HubServer, request: Request) -> Any:
    spec, namespace = request.json(), _own(server, request)
    if spec.get("flavor") not in {each["name"] for each in HARDWARE}:
        raise HubError(400, f"Invalid flavor {spec.get('flavor')}")
    for key, value in spec.get("labels", {}).items():
        if not (LABEL.fullmatch(key) and (NAME if key == "name" else LABEL).fullmatch(value)):
            raise HubError(400, f"Invalid label {key}={value}")
    number = len(server.jobs) + 1
    job_id = f"{number:024x}"
    folder = server.hf_home.parent / "jobs"
    folder.mkdir(exist_ok=True)
    job = server.jobs[job_id] = Job(job_id, namespace, spec, folder / f"{job_id}.log")
    info = job.info()
    threading.Thread(target=job.run, args=(server,), daemon=True).start()
    return info


@route("GET", "/api/jobs/{namespace}")
def _list(server: HubServer, request: Request) -> Any:
    namespace = _own(server, request, writes=False)
    wanted = [label.partition("=") for label in request.query.get("label", [])]
    stages = request.query.get("stage", [])
    found = [
        job
        for job in reversed(server.jobs.values())
        if job.namespace == namespace
        and (not stages or job.stage in stages)
        and all(job.spec.get("labels", {}).get(key) == value for key, _, value in wanted)
    ]
    first = int(request.value("cursor", "0"))
    last = first + server.page_size
    headers = {}
    if last < len(found):
        query = urlencode({**request.query, "cursor": [last]}, doseq=True)
        headers["Link"] = f'<{server.endpoint}{request.path}?{query}>; rel="next"'
    return Response.of_json([job.info() for job in found[first:last]], **headers)


@route("GET", "/api/jobs/{namespace}/{job}")
def _inspect(server: HubServer, request: Request) -> Any:
    return _job(server, request, writes=False).info()


@route("POST", "/api/jobs/{namespace}/{job}/cancel")
def _cancel(server: HubServer, request: Request) -> Any:
    job = _job(server, request)
    job.cancel()
    return job.info()


@route("GET", "/api/jobs/{namespace}/{job}/logs")
def _logs(server: HubServer, request: Request) -> Any:
    """Return the output so far; clients that follow the log poll."""
    job = _job(server, request, writes=False)
    lines = job.log.read_text(errors="replace").splitlines() if job.log.exists() else []
    lines = lines[-int(request.value("tail", "0")) :]
    body = "".join(_events(["===== Job started", *lines], job.started or job.created))
    return Response(body.encode(), content_type="text/event-stream")


def _events(lines: list[str], timestamp: str) -> Iterator[str]:
    for line in lines:
        yield f"data: {json.dumps({'data': line, 'timestamp': timestamp})}\n\n"
    yield ": keep-alive\n\n"


def _own(server: HubServer, request: Request, writes: bool = True) -> str:
    """Return the namespace of a request; the account must belong to it."""
    account = server.writer(request) if writes else request.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    if not account.belongs_to(request.args["namespace"]):
        raise HubError(403, "Forbidden: you may not run jobs in this namespace")
    return request.args["namespace"]


def _job(server: HubServer, request: Request, writes: bool = True) -> Job:
    namespace = _own(server, request, writes)
    job = server.jobs.get(request.args["job"])
    if job is None or job.namespace != namespace:
        raise HubError(404, "Job not found")
    return job
