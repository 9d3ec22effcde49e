"""The garbage collector, off while a process starts and on while it works."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest

from hf_toedit import collector
from hf_toedit.collector import postpone_collector, without_collector
from hf_toedit.config import PriorConfig, Resources
from hf_toedit.engines.messages import Answer, Fatal, Order, Ready, Setup
from hf_toedit.engines.worker import serve
from hf_toedit.errors import RunError
from hf_toedit.tasks.read import ReadTask


def wait_for_collector() -> None:
    deadline = time.monotonic() + 30
    while not gc.isenabled() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gc.isenabled()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Begin as a new process does, after the first seconds of an earlier command in this one."""
    wait_for_collector()
    gc.unfreeze()
    postpone_collector.cache_clear()
    yield
    gc.unfreeze()
    gc.enable()


def test_it_is_off_in_the_block_even_if_that_fails() -> None:
    with pytest.raises(RunError), without_collector():
        assert not gc.isenabled()
        raise RunError("no.")
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_a_command_turns_it_on_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_START_S", 0.2)
    postpone_collector()
    assert not gc.isenabled()
    wait_for_collector()
    assert gc.get_freeze_count() > 10_000
    postpone_collector()  # another command in this process
    assert gc.isenabled()


def test_a_worker_loads_without_it_and_works_with_it() -> None:
    states: list[bool] = []
    answers: list[Answer] = []

    def take() -> Order:
        states.append(gc.isenabled())
        if len(states) == 1:
            return Setup(ReadTask(PriorConfig("embedded")).to_json(), Resources())
        raise RunError("no more orders.")

    serve(take, answers.append)
    assert states == [False, True]
    assert [type(answer) for answer in answers] == [Ready, Fatal]
