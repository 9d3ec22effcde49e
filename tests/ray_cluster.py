"""A Ray cluster of real nodes on this machine; a node is a raylet with its agents and the workers that it starts.

The nodes are children of a separate process, which ends them when the tests end in any way.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.processes import children

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

_STORE_BYTES = 80 * 2**20  # nearly Ray's minimum; nothing is stored
_TRIES = 5
_SETTINGS = {
    "RAY_worker_niceness": "0",  # actors would otherwise wait for all other tests
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # memory use of other programs must not kill a worker
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
}


class RayCluster:
    """A running cluster, whose head does no work.

    Attributes:
        env: Environment of processes that belong to it.
        nodes: Worker raylets by process id.
    """

    def __init__(self, root: Path) -> None:
        self.env = {**os.environ, **_SETTINGS, "RAY_TMPDIR": str(root), "OMP_NUM_THREADS": "1"}
        self.nodes: list[int] = []
        self._root = root
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.ray_cluster"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(root / "keeper.err").open("w"),
            text=True,
            env=self.env,
            start_new_session=True,
        )

    @cached_property
    def address(self) -> str:
        """Return the address of its head, once it runs."""
        return self._answer()

    def add_node(self) -> int:
        """Start a node with one CPU."""
        assert self.address and self._keeper.stdin
        self._keeper.stdin.write("add\n")
        self._keeper.stdin.flush()
        self.nodes.append(self._answer())
        return self.nodes[-1]

    def workers(self, node: int | None = None) -> list[int]:
        """Return the actors of hf-toedit on a node, or on all nodes."""
        pids = self._processes() if node is None else children(node)
        return sorted({pid for pid in pids if b"ToEditWorker" in _title(pid)})

    def logs(self) -> list[str]:
        """Return the log of each worker of the cluster."""
        return [path.read_text() for path in sorted(self._root.glob("ray/session_2*/logs/worker-*.err"))]

    def stop(self) -> None:
        """End all processes, by process id."""
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._keeper.communicate("", timeout=60)
        self._keeper.kill()
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self) -> Iterator[int]:
        """Return all processes that write to the cluster's logs."""
        for stream in Path("/proc").glob("[0-9]*/fd/[12]"):
            with suppress(OSError):
                if os.readlink(stream).startswith(f"{self._root}/"):
                    yield int(stream.parts[2])

    def _answer(self) -> Any:
        assert self._keeper.stdout
        line = self._keeper.stdout.readline()
        assert line, (self._root / "keeper.err").read_text()
        return json.loads(line)


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Start a cluster with a head; tests add nodes."""
    root = Path(tempfile.mkdtemp(prefix="ray"))  # a short name, because it contains sockets
    cluster = RayCluster(root)
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _keep() -> None:
    """Keep a cluster until standard input ends."""
    from ray.cluster_utils import Cluster

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    small = {"object_store_memory": _STORE_BYTES, "include_log_monitor": False}
    head = {**small, "num_cpus": 0, "include_dashboard": False, "dashboard_agent_listen_port": 0, "no_monitor": True}
    cluster = _started(partial(Cluster, initialize_head=True, head_node_args=head, shutdown_at_exit=False))
    answer(cluster.address)
    threading.Thread(target=_reap, args=(cluster,), daemon=True).start()
    for _ in sys.stdin:
        node = _started(partial(cluster.add_node, wait=False, num_cpus=1, **small))
        answer(node.all_processes["raylet"][0].process.pid)
    cluster.shutdown()


def _started(start: Callable[[], Any]) -> Any:
    """Start something, with retries: Ray gives a process 30 seconds, which may be too short on a busy machine."""
    for _ in range(_TRIES - 1):
        with suppress(Exception):
            return start()
    return start()


def _reap(cluster: Cluster) -> None:
    """Wait for killed raylets: their workers end when the raylets are gone, but not while they are zombies."""
    while True:
        for node in cluster.list_all_nodes():
            for raylet in node.all_processes.get("raylet", ()):  # a new node has none yet
                raylet.process.poll()
        time.sleep(0.2)


if __name__ == "__main__":
    _keep()
