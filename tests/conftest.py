"""Fixtures for all tests: real priors, tokenizers and texts, the command line, and a local Hub server."""

from __future__ import annotations

import os

import pytest

# Results must not depend on the number of threads, and with one thread, small tests do not wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # tests with several threads leave idle cores to other tests
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from tests.cli.fixtures import hf_toedit, run, source  # noqa: E402, F401
from tests.cli.pushing import command, few, hub, many, other, short  # noqa: E402, F401
from tests.hub_server import hub_server  # noqa: E402, F401
from tests.killing import keeping  # noqa: E402, F401
from tests.s3_server import s3  # noqa: E402, F401
from tests.shared import shared  # noqa: E402
from tests.tiers import is_long, order  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that take long, and run the slowest files first."""
    for item in items:
        if is_long(item.path, item.nodeid.partition("::")[2].partition("[")[0]):
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: order(item.path))


@pytest.fixture(scope="session")
def stories_prior():
    """Return the prior stories260K, loaded once."""
    from hf_toedit import PriorConfig, load_prior

    return load_prior(PriorConfig(str(shared("models/stories260K"))))
