"""Connection of a process to a Ray cluster as its driver; `engines.ray` does the work there.

Import this module only when needed: it imports Ray.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading

import ray
from ray.exceptions import RayError

from hf_toedit.errors import RunError, in_one_line

_REACH_S = 10.0


def connect(address: str) -> None:
    """Make this process a driver; its SIGTERM handler stays unchanged.

    Args:
        address: Address of the cluster; `auto` uses `RAY_ADDRESS`, or the cluster that runs on this machine.

    Raises:
        RunError: There is no such cluster.
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        _reach(os.environ.get("RAY_ADDRESS") or address if address == "auto" else address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except SystemExit as error:  # Ray turns SIGTERM into SystemExit from here on
        raise KeyboardInterrupt from error
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise RunError(
            f"cannot connect to a Ray cluster ({address}): {in_one_line(error).rstrip('.')}. Start one (ray start "
            f"--head), name it with --address or RAY_ADDRESS, or leave --engine out to work on this machine."
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)


def _reach(address: str) -> None:
    """Check that the address accepts connections; Ray itself would try for minutes."""
    named = re.fullmatch(r"([^:/]+):(\d+)", address)
    if named:
        # Ray interprets these names as the node's address.
        host = ray.util.get_node_ip_address() if named[1] in ("localhost", "127.0.0.1") else named[1]
        socket.create_connection((host, int(named[2])), timeout=_REACH_S).close()
