"""Runs on a Ray cluster of several nodes; actors, nodes and drivers are killed (HF_TOEDIT_KILLS sets how many)."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, ActorUnschedulableError, RayTaskError, RuntimeEnvSetupError

from hf_toedit.config import Resources
from hf_toedit.engines.base import MAX_LOSSES, MAX_TRIES, Queue
from hf_toedit.engines.ray import RayEngine, ended
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.store import RunFolder
from tests.cli.command import HfToEdit
from tests.cli.fixtures import parquet
from tests.processes import OwnProcess, is_alive
from tests.ray_cluster import RayCluster, ray_cluster
from tests.shared import shared

KILLS = int(os.environ.get("HF_TOEDIT_KILLS", "3"))
SHARDS = 40
PATIENCE_S = 300
STOPPED = "Error: stopped. Finished work is kept; the same command continues where it stopped.\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Start a head that does no work, and a node with one CPU; tests leave at least one such node."""
    with ray_cluster() as running:
        running.add_node()
        yield running


def _plan(hf_toedit: HfToEdit, run: Path, *options: object, source: object = "sample") -> Path:
    eager = "--threshold", "0.9", "--temperature", "4"
    done = hf_toedit("plan", source, "-o", run, *eager, "--quiet", *options)
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return run


def _popen(cluster: RayCluster, run: object, *options: object, **how: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hf_toedit", "run", run, "--engine", "ray", "--address", cluster.address, *options]
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": cluster.env}
    return OwnProcess([str(word) for word in command], **streams, **how)


def _until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a condition, or for the end of a process that should fulfil it."""
    until = time.monotonic() + PATIENCE_S
    while not condition() and (process is None or process.poll() is None):
        assert time.monotonic() < until
        time.sleep(0.01)


def _state(hf_toedit: HfToEdit, run: Path) -> dict[str, Any]:
    return hf_toedit("status", run, "--json").json


def _is_reading(hf_toedit: HfToEdit, run: Path) -> bool:
    """Whether the driver has received finished rows."""
    return any(shard["num_rows"] for shard in _state(hf_toedit, run)["running"])


def _num_loads(cluster: RayCluster) -> int:
    """Return how often actors have loaded a prior."""
    return sum(log.count(" is loaded\n") for log in cluster.logs())


def _has_loaded_since(cluster: RayCluster, num_loads: int) -> bool:
    return _num_loads(cluster) > num_loads


class Disturber:
    """Injects failures into a run, and counts them."""

    def __init__(self, cluster: RayCluster, run: Path, events: list[str], chance: random.Random) -> None:
        self.events = events
        self.happened: Counter[str] = Counter()
        self.workers: set[int] = set()
        self._cluster = cluster
        self._run = run
        self._chance = chance

    def drive(self) -> subprocess.Popen[str]:
        """Run to the end, or until the driver is killed."""
        self.happened["start"] += 1
        with _popen(self._cluster, self._run, "--json") as driver:
            while self.events and driver.poll() is None:
                _until(partial(self._goes_on, self._num_files()), driver)
                time.sleep(self._chance.uniform(0, 0.3))
                workers = self._cluster.workers()
                if driver.poll() is None and workers:
                    self.workers |= set(workers)
                    self._harm(driver, self.events.pop(0), workers)
            self.stdout, self.stderr = driver.communicate(timeout=PATIENCE_S)
        return driver

    def _harm(self, driver: subprocess.Popen[str], event: str, workers: list[int]) -> None:
        self.happened[event] += 1
        if event == "driver":
            driver.kill()
        elif event == "actor":
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(workers), signal.SIGKILL)
        elif event == "node":
            os.kill(self._cluster.nodes.pop(self._chance.randrange(2)), signal.SIGKILL)
        if event in ("join", "node"):
            self._cluster.add_node()
            _until(lambda: self._cluster.workers(self._cluster.nodes[-1]), driver)

    def _goes_on(self, num_files: int) -> bool:
        return self._num_files() > num_files and bool(self._cluster.workers())

    def _num_files(self) -> int:
        return len(list(self._run.glob("data/*/[!.]*.parquet")))


def test_a_run_whose_actors_nodes_and_drivers_are_killed_ends_as_a_local_one(
    cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path
) -> None:
    local, killed = (
        _plan(hf_toedit, tmp_path / name, "--num-shards", SHARDS, "--generations", 2) for name in ("local", "killed")
    )
    assert hf_toedit("run", local).code == 0

    chance = random.Random(1)
    kills = (["actor", "driver", "node", "actor"] * KILLS)[:KILLS]
    disturber = Disturber(cluster, killed, ["join", *chance.sample(kills, KILLS)], chance)
    while (driver := disturber.drive()).returncode != 0 or disturber.events:
        assert driver.returncode in (0, -signal.SIGKILL), disturber.stderr
        if driver.returncode == 0:  # before all failures were injected
            for path in chance.sample(sorted((killed / "data").rglob("*.parquet")), SHARDS):
                path.unlink()
        else:
            _until(lambda: not cluster.workers())  # Ray ends the actors of a dead driver
    assert disturber.stderr == ""
    assert parquet(killed) == parquet(local)
    assert len(parquet(killed)) == 2 * SHARDS
    assert {path.relative_to(killed) for path in killed.rglob("*")} == {
        path.relative_to(local) for path in local.rglob("*")
    }
    verified = hf_toedit("verify", killed, "--json").json
    assert (verified["ok"], verified["num_rows"]) == (True, 2 * 70)

    loads = [log.count(" is loaded\n") for log in cluster.logs()]
    done = {shard for log in cluster.logs() for shard in re.findall(r"(train-\S+) is done\n", log)}
    assert max(loads) == 1
    happened = disturber.happened
    assert 2 <= sum(loads) <= 2 * happened["start"] + happened["join"] + happened["actor"] + happened["node"]
    assert len(done) == SHARDS
    _until(lambda: not any(is_alive(pid) for pid in disturber.workers) and not cluster.workers())


def test_a_shard_that_kills_its_actors_is_given_up_after_three_tries(
    cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path
) -> None:
    run = _plan(hf_toedit, tmp_path / "run", "--num-shards", 1, "--generations", 1000, "--prune")
    with _popen(cluster, run, "--num-workers", 1) as driver:
        _until(lambda: _is_reading(hf_toedit, run), driver)
        while driver.poll() is None:  # a restart that ends before it gets the shard does not count as an attempt
            num_loads = _num_loads(cluster)
            for pid in cluster.workers():
                os.kill(pid, signal.SIGKILL)
            _until(partial(_has_loaded_since, cluster, num_loads), driver)
        stdout, stderr = driver.communicate(timeout=PATIENCE_S)
    assert (driver.returncode, stdout) == (1, "")
    *warnings, error = stderr.splitlines()
    assert error.startswith("Error: 1 of 1 shards failed. train-00000-of-00001: died on ")
    assert warnings and all("nothing is pruned" in warning for warning in warnings)
    assert [failure["shard"] for failure in _state(hf_toedit, run)["failed"]] == ["train-00000-of-00001"]


class WatchedMonitor(Monitor):
    """A monitor that ends a run that takes too long."""

    def beat(self) -> None:
        assert time.monotonic() < self.until, "the run hangs"
        super().beat()

    def __enter__(self) -> WatchedMonitor:
        self.until = time.monotonic() + PATIENCE_S
        super().__enter__()
        return self


def test_an_actor_that_comes_back_while_the_driver_is_busy_begins_anew(
    cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path
) -> None:
    """The restarted actor must not be asked about the progress of a shard that only its predecessor knew."""
    folder = RunFolder(_plan(hf_toedit, tmp_path / "run", "--num-shards", 1, "--generations", 2))
    plan = folder.plan()
    killed: list[int] = []

    def be_busy(pass_name: str, counts: dict[str, int]) -> None:
        if not killed:
            num_loads = _num_loads(cluster)
            killed.extend(cluster.workers())
            os.kill(killed[0], signal.SIGKILL)
            _until(lambda: _num_loads(cluster) > num_loads)

    with (
        RayEngine(plan.task, Resources(), cluster.address, num_workers=1) as engine,
        WatchedMonitor(plan, folder, be_busy) as monitor,
    ):
        engine.run(plan, folder, [0], monitor)
    assert (len(killed), monitor.failures) == (1, [])
    assert folder.is_done(plan, plan.shards[0])


def test_scores_have_the_bytes_of_this_machine(cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    prior, source = shared("models/stories260K"), shared("data/biomed_pubmedqa_l.jsonl")
    planned = "--prior", prior, "--limit", 40, "--num-shards", 4, "--plan-only", "--quiet"
    here, there = tmp_path / "here", tmp_path / "there"
    for run in (here, there):
        assert hf_toedit("score", source, "-o", run, *planned).code == 0
    assert hf_toedit("run", here, "--quiet").code == 0
    with _popen(cluster, there, "--num-workers", 1, "--quiet") as driver:
        said = driver.communicate(timeout=PATIENCE_S)
    assert (driver.returncode, *said) == (0, "", "")
    assert len(parquet(there)) == 4 and parquet(there) == parquet(here)


def test_a_lost_machine_is_no_fault_of_a_shard_until_it_always_is(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    folder = RunFolder(_plan(hf_toedit, tmp_path / "run", "--num-shards", 1))
    plan = folder.plan()
    with Monitor(plan, folder) as monitor:
        waiting = Queue(plan, [0])
        num_losses = 0
        while waiting:
            monitor.began(7, waiting.take())
            waiting.take_back(0, 7, monitor, "its node was lost")
            num_losses += 1
        assert num_losses == MAX_LOSSES + MAX_TRIES
        assert [failure.reason for failure in monitor.failures] == ["its node was lost"]


@pytest.mark.parametrize(("ending", "is_editing"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_run_that_is_told_to_stop_does_so_at_once(
    ending: int, is_editing: bool, cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path
) -> None:
    run = _plan(hf_toedit, tmp_path / "run", "--num-shards", 4, "--generations", 400)
    with _popen(cluster, run, *(("--num-workers", 1) if is_editing else ())) as driver:
        _until(lambda: _state(hf_toedit, run)["running"] if is_editing else cluster.workers(), driver)
        state = _state(hf_toedit, run)
        workers = cluster.workers()
        driver.send_signal(ending)
        stdout, stderr = driver.communicate(timeout=PATIENCE_S)
    assert (driver.returncode, stdout, stderr) == (130, "", STOPPED)
    assert workers
    assert bool(state["running"]) == is_editing
    _until(lambda: not any(is_alive(pid) for pid in workers))
    assert not [path for path in run.rglob("*") if ".tmp" in path.name or "progress" in path.name]


def test_why_a_shard_failed_reaches_the_user(cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2):
        pq.write_table(pa.table({"text": ["Once upon a time there was a king."] * 3}), source / f"{number}.parquet")
    run = _plan(hf_toedit, tmp_path / "run", "--shard-size", "file", source=source)
    broken = source / "1.parquet"
    times = broken.stat()
    broken.write_bytes(b"PAR1" + bytes(times.st_size - 4))
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    # The path is relative to a folder that a node has to resolve itself.
    with _popen(cluster, "run", "--quiet", "--num-workers", 1, cwd=tmp_path) as driver:
        stdout, stderr = driver.communicate(timeout=PATIENCE_S)
    assert (driver.returncode, stdout) == (1, "")
    assert stderr.startswith("Error: 1 of 2 shards failed. train-00001-of-00002: ")
    assert "1.parquet" in stderr
    state = _state(hf_toedit, run)
    assert (state["num_done"], "1.parquet" in state["failed"][0]["reason"]) == (1, True)


def test_a_folder_that_nodes_do_not_see_is_told_of(cluster: RayCluster, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    _plan(hf_toedit, tmp_path / "run", "--num-shards", 2)
    opened = os.open(tmp_path, os.O_RDONLY)  # only the driver has this descriptor
    try:
        with _popen(cluster, f"/proc/self/fd/{opened}/run", "--num-workers", 1, pass_fds=[opened]) as driver:
            stdout, stderr = driver.communicate(timeout=PATIENCE_S)
    finally:
        os.close(opened)
    assert (driver.returncode, stdout) == (1, "")
    assert re.fullmatch(r"Error: a worker on \S+ cannot read the plan: .* under the same path\.\n", stderr), stderr


def test_the_end_of_a_worker_is_blamed_on_its_cause() -> None:
    def in_creation(error: Exception) -> ActorDiedError:
        return ActorDiedError(RayTaskError("ToEditWorker", f"Traceback: {type(error).__name__}: {error}", error))

    died = ActorDiedErrorContext(error_message="The actor died because its node has died.", actor_id=bytes(16))
    versions = "Every node needs the same version of hf-toedit as this machine."
    cases = [
        (in_creation(ModuleNotFoundError("No module named 'hf_toedit'")), "a worker cannot be started: ", versions),
        (RuntimeEnvSetupError("pip failed"), "a worker cannot be started: ", versions),
        (in_creation(RuntimeError("no threads")), "a worker cannot be started: ", "worker-*.err"),
        (ActorUnschedulableError("no such node"), "no node accepts a worker: ", "continues where it stopped."),
        (ActorDiedError(died), "a worker was lost, and Ray does not restart it: ", "continues where it stopped."),
    ]
    for error, beginning, end in cases:
        said = ended(error)
        assert said.startswith(beginning) and said.endswith(end), said
    assert "its node has died" in ended(ActorDiedError(died)) and versions not in ended(ActorDiedError(died))


def test_options_that_do_not_fit_the_engine_are_refused(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    run = _plan(hf_toedit, tmp_path / "run")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{closed.getsockname()[1]}"
        refused = [
            (("--num-workers", 2), 2, "--num-workers requires --engine ray"),
            (("--engine", "ray", "--workers", 2), 2, "--workers requires --engine local"),
            (("--engine", "ray", "--device", "cuda:1"), 2, "--device cuda:1 names one of several"),
            (("--engine", "ray", "--device", "cpu", "--gpus-per-worker", 1), 2, "--gpus-per-worker 1 and --device cpu"),
            (("--engine", "ray", "--tensor-parallel", 2, "--gpus-per-worker", 1), 2, "--gpus-per-worker 1 is too few"),
            (("--engine", "ray", "--address", "nowhere"), 1, "cannot connect to a Ray cluster (nowhere)"),
            (("--engine", "ray", "--address", nowhere), 1, f"cannot connect to a Ray cluster ({nowhere})"),
        ]
        for options, code, message in refused:
            workers = () if "--workers" in options else ("--workers", "auto")
            assert hf_toedit.fails("run", run, *options, *workers, code=code).startswith(message)


def test_without_ray_it_says_what_to_install(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    _plan(hf_toedit, tmp_path / "run")
    (tmp_path / "ray.py").write_text("raise ImportError('broken here')\n")
    command = [sys.executable, "-m", "hf_toedit", "run", "run", "--engine", "ray"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "(broken here). Run: pip install 'hf-toedit[ray]'." in done.stderr
