"""A Slurm cluster of one node on this machine: the real daemons, with their own ports, keys and folders.

It uses only the programs of Debian's packages, and changes nothing on the system. The node reports four CPUs and four
GPUs, regardless of the machine.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pytest

from tests.shared import lacking

PATIENCE_S = 300
TRIES = 5
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
_PACKAGES = "munge slurmctld slurmd slurm-client"

_CONFIG = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
MailProg=/bin/true
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 Gres=gpu:4
PartitionName=main Nodes=ALL Default=YES MaxTime=60
"""
# A GPU is a device file; these exist on every machine.
_GPUS = "".join(f"Name=gpu File=/dev/{name}\n" for name in ("null", "zero", "full", "random"))


class SlurmCluster:
    """A cluster as a context manager; call it to run a program of Slurm, such as `squeue`, and get its output.

    Attributes:
        env: Environment in which programs find the cluster.
    """

    def __init__(self) -> None:
        if missing := [name for name in _PROGRAMS if not shutil.which(name, path=_path())]:
            lacking(f"{', '.join(missing)} (Debian: apt-get install --no-install-recommends {_PACKAGES})")
        self._folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has at most 107 characters
        self.env = {**os.environ, "PATH": _path(), "SLURM_CONF": str(self._folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __call__(self, *command: object, stdin: str = "") -> str:
        words = [str(word) for word in command]
        for _ in range(TRIES):
            done = subprocess.run(words, env=self.env, input=stdin, capture_output=True, text=True)
            if done.returncode != -signal.SIGPIPE:  # how a client ends if the busy controller closes the connection
                break
        done.check_returncode()
        return done.stdout

    def __enter__(self) -> SlurmCluster:
        try:
            self._begin()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._end()

    def wait(self, job: str) -> list[dict[str, str]]:
        """Wait until all tasks of a job have ended, and return Slurm's report of each, in order."""
        until(lambda: not self("squeue", "--noheader", "--job", job), 0.5)
        told = self("scontrol", "--oneliner", "show", "job", job).splitlines()
        tasks = [dict(word.partition("=")[::2] for word in line.split()) for line in told]
        return sorted(tasks, key=lambda task: int(task["ArrayTaskId"]))

    def _begin(self) -> None:
        folder = self._folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        ports = [_free_port() for _ in range(2)]
        host = socket.gethostname().partition(".")[0]
        config = _CONFIG.format(host=host, ports=ports, user=getpass.getuser(), folder=folder)
        (folder / "slurm.conf").write_text(config)
        (folder / "gres.conf").write_text(_GPUS)
        files = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
        # --force: otherwise munged refuses a socket in a folder that only its owner may enter.
        self._start("munged", "--foreground", "--force", *(f"--{k}={folder}/munge.{v}" for k, v in files.items()))
        until((folder / "munge.socket").exists)
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")
        until(lambda: self._says("sinfo", "--noheader", "--format=%t").strip() == "idle")

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("wb") as out:
            self._daemons.append(subprocess.Popen(command, env=self.env, stdout=out, stderr=out))

    def _says(self, *command: str) -> str:
        """Return the output of a program; empty if it fails, as while the controller starts.

        Raises:
            RuntimeError: A daemon has died.
        """
        for daemon in self._daemons:
            if daemon.poll() is not None:
                said = {path.name: path.read_text()[-2000:] for path in self._folder.glob("*.out")}
                raise RuntimeError(f"{daemon.args} ended with code {daemon.returncode}: {said}")
        with suppress(subprocess.CalledProcessError):
            return self(*command)
        return ""

    def _end(self) -> None:
        """Kill the processes of Slurm and the daemons, which are identified by their environment."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
        ours = f"SLURM_CONF={self.env['SLURM_CONF']}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if ours in environment.read_bytes().split(b"\0"):
                    os.kill(int(environment.parent.name), signal.SIGKILL)
        for daemon in self._daemons:
            daemon.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """Start a cluster on this machine."""
    with SlurmCluster() as cluster:
        yield cluster


def until(happened: Callable[[], object], every_s: float = 0.05) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every_s)


def _path() -> str:
    """Return the path of a daemon, which is in a folder that only root's PATH contains."""
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
