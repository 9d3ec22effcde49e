"""`hf-toedit jobs`: a run on jobs, which the local Hub runs as local processes, killed and resumed."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_toedit.launch.jobs import GROUP
from hf_toedit.publish.pull import GUARD
from tests.cli.command import HfToEdit
from tests.cli.fixtures import parquet
from tests.cli.pushing import PLAN, alone, check_history, load, pushed, texts
from tests.hub.jobs import Job
from tests.hub.wire import Dropped, Request
from tests.hub_server import HubServer
from tests.shared import shared

EAGER = "--prior", "org/stories", "--threshold", 0.9, "--temperature", 4
PATIENCE_S = 600


@pytest.fixture(scope="module")
def on_hub(hub: HubServer, short: Path) -> HubServer:
    """Return the Hub, with a source and a prior."""
    hub.create_repo("dataset", "org/rows", {"train.parquet": short.read_bytes()})
    hub.create_repo("model", "org/stories", shared("models/stories260K"))
    return hub


@pytest.fixture(autouse=True)
def discreet(hub: HubServer) -> Iterator[None]:
    """Check that logs, output and pushed files of jobs do not contain the token."""
    yield
    for job in hub.jobs.values():
        assert hub.token not in f"{job.info()} {job.spec['command']} {job.log.read_text() if job.log.exists() else ''}"
    for repo in hub.repos.values():
        assert not any(hub.token.encode() in data for data in repo.head("main").files.values())


def submit(name: str, *options: object) -> tuple[object, ...]:
    flavor = () if "--flavor" in options else ("--flavor", "l4x1", "--dtype", "float32")
    where = "--push-to", name, "--workers", 0
    return "jobs", "submit", "org/rows", *EAGER, "--num-shards", 4, *flavor, *where, *options


def jobs_of(hub: HubServer, name: str) -> list[Job]:
    return [job for job in hub.jobs.values() if name in job.spec["command"]]


def ended(jobs: list[Job]) -> list[str]:
    assert all(job.ended.wait(PATIENCE_S) for job in jobs), [job.log.read_text() for job in jobs]
    return [job.stage for job in jobs]


class Killer:
    """Kills attempts of a group's job with SIGKILL at a commit, when some of its shards are on the Hub."""

    def __init__(self, hub: HubServer, name: str, group: str, shards: list[int]) -> None:
        self._hub, self._name, self._group = hub, name, group
        self._left = shards
        self._lock = threading.Lock()
        self._dead: set[int] = set()
        hub.on_request = self._on_request

    def over(self) -> None:
        """Wait until the jobs have ended and the Hub has finished."""
        self._hub.drain()
        self._hub.on_request = None
        assert not self._left

    def _on_request(self, request: Request) -> None:
        job = next((job for job in self._hub.jobs.values() if job.asks(request)), None)
        if "/commit/" not in request.path or job is None or job.spec["labels"][GROUP] != self._group:
            return
        with self._lock:
            if not self._left or job.process is None or job.process.pid in self._dead:
                return
            edited = re.findall(r"(?m)^(\S+) is edited$", job.log.read_text())
            there = pushed(self._hub, self._name).head("main").files
            if sum(f"data/gen1/{shard}.parquet" in there for shard in edited) >= self._left[0]:
                del self._left[0]
                self._dead.add(job.process.pid)
                job.process.kill()
                raise Dropped


def test_a_killed_job_is_taken_up_again_and_the_last_one_writes_the_card(
    on_hub: HubServer, command: HfToEdit, tmp_path: Path
) -> None:
    hub, shape = on_hub, ("--limit", 8, "--generations", 2, "--score-result")
    two = submit("org/two", *shape, "--num-jobs", 2, "--attempts", 2, "--json")
    killer = Killer(hub, "org/two", "1-of-2", [1, 0])
    hub.faults.add("POST", "/api/jobs/owner$", "lost")  # the Hub created its job, which is not submitted twice
    first = command(*two).json
    assert [job["group"] for job in first["jobs"]] == ["0/2", "1/2"]
    assert (first["num_shards"], first["secrets"], first["price_per_hour"]) == (4, ["HF_TOKEN"], 1.59996)
    jobs = jobs_of(hub, "org/two")
    assert ended(jobs) == ["COMPLETED", "ERROR"]
    killer.over()
    assert [job.attempts for job in jobs] == [1, 2]
    assert "group 1/2: 2 of 2 shards to do" in jobs[1].log.read_text()
    assert "group 1/2: 1 of 2 shards to do" in jobs[1].log.read_text()
    told = command("jobs", "status", "org/two", "--json").json
    assert (told["num_done"], told["num_shards"], told["finished"]) == (3, 4, False)
    [told_there, *_] = command("jobs", "status", "org/two").stdout.splitlines()
    assert told_there == "3 of 4 shards are on the Hub. No job is running. To continue, repeat `hf-toedit jobs submit`."
    assert [job["stage"] for job in told["jobs"]] == ["COMPLETED", "ERROR"]
    assert "push-not-finished" in load(hub, ("org/two", None, None))[0]

    again = command(*two).json
    assert [job["group"] for job in again["jobs"]] == ["1/2"]
    [*_, last] = jobs_of(hub, "org/two")
    assert ended([last]) == ["COMPLETED"]
    assert "group 1/2: 1 of 2 shards to do" in last.log.read_text()
    assert "all shards and the card are on the Hub" in last.log.read_text()

    run = tmp_path / "run"
    local = command("edit", "org/rows", "-o", run, *EAGER, "--num-shards", 4, *shape, "--flat-columns", "--quiet")
    assert local.code == 0, local
    head = pushed(hub, "org/two").head("main")
    assert {path: data for path, data in head.files.items() if path.endswith(".parquet")} == parquet(run)
    assert load(hub, ("org/two", None, None)) == [texts(run, 2)]
    check_history(pushed(hub, "org/two"))
    card = head.files["README.md"].decode()
    assert "hf-toedit jobs submit org/rows" in card and 'load_dataset("org/two"' in card and "./" not in card

    assert command("jobs", "status", "org/two").stdout.startswith(
        "4 of 4 shards are on the Hub. The card is on the Hub.\n"
    )
    hub.faults.add("GET", "/logs$", 503, times=2)
    said = command("jobs", "logs", "org/two").stdout
    assert said.count("\n== ") == 1 and "group 0/2: 2 of 2" in said and "group 1/2: 1 of 2" in said
    assert command("jobs", "logs", "org/two", "--shard-group", "1/2", "--tail", 1, "--follow").stdout == (
        f"all shards and the card are on the Hub: {hub.endpoint}/datasets/org/two\n"
    )
    assert "cannot be followed at once" in command.fails("jobs", "logs", "org/two", "--follow", code=2)
    num_commits = len(pushed(hub, "org/two").commits)
    assert command(*submit("org/two", *shape, "--num-jobs", 3)).stdout.startswith(
        "All 4 shards and the card are on the Hub."
    )
    assert (len(pushed(hub, "org/two").commits), len(jobs_of(hub, "org/two"))) == (num_commits, 3)
    assert command("verify", "org/two").code == 0

    stats = "toedit/stats/gen2/train-00002-of-00004.json"
    hub.commit("dataset", "org/two", {stats: b"{}"})
    damaged = command.fails(*two)
    assert damaged.startswith("data and statistics of shard train-00002-of-00004 in dataset 'org/two' do not belong")
    hub.commit("dataset", "org/two", {stats: head.files[stats]})
    assert command(*two).code == 0


def test_cancel(on_hub: HubServer, command: HfToEdit) -> None:
    hub, over = on_hub, threading.Event()

    def hold(request: Request) -> None:
        """Delay requests of jobs until the end of the test."""
        if "origin/job-" in request.headers.get("User-Agent", ""):
            over.wait(PATIENCE_S)
            raise Dropped

    hub.on_request = hold
    one = submit("org/cancelled", "--namespace", "owner")
    assert command(*one).stdout.endswith("Next: hf-toedit jobs status org/cancelled --namespace owner\n")
    assert command(*one).code == 0
    [job] = jobs_of(hub, "org/cancelled")  # the second command found it running
    assert "still running, with --num-jobs 1." in command.fails(*submit("org/cancelled", "--num-jobs", 2), code=2)
    elsewhere = submit("org/cancelled", "--push-prefix", "again", "--dry-run", "--json")
    assert command(*elsewhere).json["jobs"][0]["labels"]["hf-toedit-run"] != job.spec["labels"]["hf-toedit-run"]
    assert command("jobs", "cancel", "org/cancelled", "--json").json["cancelled"] == [job.id]
    assert ended([job]) == ["CANCELED"]
    assert command("jobs", "cancel", "org/cancelled").stdout.startswith("Cancelled 0 jobs.")
    over.set()
    hub.drain()
    hub.on_request = None
    assert pushed(hub, "org/cancelled").head("main").files.keys() == {".gitattributes", PLAN, GUARD}


def test_dry_run(on_hub: HubServer, command: HfToEdit) -> None:
    hub = on_hub
    num_jobs = len(hub.jobs)
    package = "hf-toedit @ git+https://example.org/hf-toedit@v1"
    gpu = "--flavor", "l4x1", "--num-jobs", 2, "--package", package, "--image", "org/image", "--secrets", "HF_HOME"
    dry = *submit("org/dry", *gpu, "--timeout", "90m", "--token-budget", 64), "--dry-run"
    told = command(*dry).stdout
    words = f"uv run --with '{package}' hf-toedit jobs work org/dry --shard-group"
    assert told == (
        "4 shards, prior org/stories in bfloat16\n"
        "org/image, at most 90m, 3 attempts, secrets: HF_TOKEN, HF_HOME\n"
        f"Would submit: {words} 0/2 --workers 0 --token-budget 64\n"
        f"Would submit: {words} 1/2 --workers 0 --token-budget 64\n"
        "2 jobs of l4x1 (1x L4, 24 GB, 8 vCPU, 30 GB): $0.80 an hour each, $1.60 an hour together, while they run.\n"
    )
    where = "--push-prefix", "v2", "--push-revision", "made", "--unverified"
    other = submit("org/dry", "--flavor", "by-token", "--trust-remote-code", *where)
    facts = command(*other, "--dry-run", "--json").json
    assert facts["price_per_hour"] is None
    [job] = facts["jobs"]
    assert shlex.join(job["command"]).endswith(
        "--push-revision made --push-prefix v2 --unverified --workers 0 --trust-remote-code"
    )
    assert job["labels"]["hf-toedit-group"] == "0-of-1"
    assert len(hub.jobs) == num_jobs
    assert ("dataset", "org/dry") not in hub.repos


def test_bad_input(on_hub: HubServer, command: HfToEdit, short: Path, few: Path) -> None:
    hub = on_hub
    num_jobs = len(hub.jobs)

    def refused(*options: object, name: str = "org/bad") -> str:
        return command.fails(*submit(name, *options), code=2)

    assert "unknown flavor 'l4x2'. Did you mean 'l4x1'?" in refused("--flavor", "l4x2")
    assert "--num-jobs 5 is more than the 4 shards" in refused("--num-jobs", 5)
    assert "timeout 'soon' is not a duration" in refused("--timeout", "soon")
    assert "timeout '0.0h' is not a duration" in refused("--timeout", "0.0h")
    assert "'NO_SUCH', which --secrets names, is not set" in refused("--secrets", "NO_SUCH")
    assert "name of an environment variable, without its value" in refused("--secrets", "A=b")
    assert "--package holds a password or a token" in refused("--package", "git+https://me:word@example.org/x")
    assert "--package holds a password or a token" in refused("--package", "https://example.org/x.whl?token=word")
    assert "is on this machine" in refused("--prior", shared("models/stories260K"))
    local = "jobs", "submit", short, *EAGER, "--flavor", "l4x1", "--push-to", "org/bad"
    assert "Push it to the Hub and name it as org/name, or name an address." in command.fails(*local, code=2)
    assert "no target. Name a Hub dataset with --push-to." in command.fails(*local[:-2], code=2)
    assert "(403: Forbidden: you may not run jobs" in command.fails(*submit("org/bad", "--namespace", "strangers"))
    assert "(403: " in command.fails(*submit("strangers/bad"))
    command("push", few, "org/taken-by-another")
    assert "holds another run" in command.fails(*submit("org/taken-by-another"))
    assert "(404: Repository not found)" in command.fails("jobs", "status", "org/nothing")
    assert "no job of 'owner' works on 'org/nothing'" in command.fails("jobs", "logs", "org/nothing")
    nobody = alone(hub, *submit("org/bad"))
    assert (nobody.code, nobody.stdout) == (1, "")
    assert nobody.stderr.splitlines()[-1].startswith("Error: you are not logged in to the Hub. Log in with")
    hub.owner.role = "read"
    assert "(403: Forbidden: you must use a write token)" in command.fails(*submit("org/bad"))
    hub.owner.role = "write"
    assert len(hub.jobs) == num_jobs
