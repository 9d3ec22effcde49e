"""Killed pushes, and a failing Hub: in the end everything is pushed once, and a partial push never loads."""

from __future__ import annotations

import random
import shlex
import time
from pathlib import Path

import pytest

from hf_toedit.publish.pull import GUARD
from hf_toedit.publish.push import Push
from hf_toedit.runs.store import RunFolder
from tests.cli.command import HfToEdit
from tests.cli.pushing import Stopwatch, alone, check_history, check_whole, load, pushed, texts
from tests.hub_server import HubServer

KILLS = 10


def test_its_command_names_the_same_target(many: Path) -> None:
    folder = RunFolder(many)
    push = Push(folder.plan(), folder, "org/name", revision="made", prefix="runs/1")
    assert push.command == shlex.join(
        ["hf-toedit", "push", str(many), "org/name", *"--revision made --prefix runs/1".split()]
    )


def test_a_push_that_is_killed_goes_on_where_it_was(hub: HubServer, command: HfToEdit, many: Path) -> None:
    assert command("push", many, "org/undisturbed", "--quiet").code == 0
    num_requests = len(hub.requests)
    chance = random.Random(4)
    phases = range(3, 10), range(10, num_requests - 30), range(num_requests - 30, num_requests)
    moments = [moment for phase in phases for moment in chance.sample(phase, KILLS // 3)] + [num_requests]
    states = set()
    for number, moment in enumerate(moments):
        name = f"org/killed-{number}"
        hub.uploads.clear()
        watch = Stopwatch(hub, moment, carried_out=bool(number % 2))
        killed = command("push", many, name, kill_when=watch.reached.is_set)
        watch.over()
        assert killed.code == -9
        half = ("dataset", name) in hub.repos and pushed(hub, name).head("main")
        again = command("push", many, name, "--json").json
        assert again["num_files_skipped"] == (len(half.files) - 1 - (GUARD in half.files) if half else 0)
        check_whole(pushed(hub, name).head("main"), many)
        check_history(pushed(hub, name))
        assert set(hub.uploads.values()) == {1}
        states.add(len(half.files) if half else 0)
    assert len(states) > 3, states

    repo = pushed(hub, "org/killed-0")
    before = check_history(repo)
    assert len(before) >= 4
    half_pushed = [("org/killed-0", config, commit.sha) for commit in before for config in (None, "gen1", "gen2")]
    *errors, default, first, second = load(
        hub, *half_pushed, *(("org/killed-0", config, None) for config in (None, "gen1", "gen2"))
    )
    assert all(isinstance(error, str) for error in errors), errors
    assert all("push-not-finished" in error for error in errors[3:]), errors
    assert (default, first, second) == (texts(many, 2), texts(many, 1), texts(many, 2))


COMMIT, TREE, INFO = r"/commit/main", r"/tree/", r"/api/datasets/org/[\w-]+$"


@pytest.mark.parametrize(
    ("method", "path", "kind", "how"),
    [
        ("POST", COMMIT, 503, {"times": 3}),
        ("POST", COMMIT, 429, {"retry_after": 1}),
        ("POST", COMMIT, 409, {"times": 2}),
        ("POST", COMMIT, "drop", {"times": 2}),
        ("POST", COMMIT, "lost", {}),
        ("POST", COMMIT, "lost", {"after": 1}),
        ("POST", COMMIT, "lost", {"after": 2}),
        ("POST", COMMIT, "cut", {"after": 1}),
        ("POST", COMMIT, "conflict", {}),
        ("POST", COMMIT, "conflict", {"after": 1, "times": 2}),
        ("POST", COMMIT, "conflict", {"after": 2}),
        ("POST", COMMIT, "conflict", {"after": 1, "times": 12}),
        ("GET", INFO, 500, {"times": 3, "after": 1}),
        ("GET", INFO, "drop", {"times": 3}),
        ("GET", TREE, "cut", {"times": 2}),
        ("GET", TREE, 429, {"retry_after": 0}),
        ("POST", "/repos/create", "lost", {}),
        ("POST", "/repos/create", 502, {}),
        ("POST", "/preupload/", 503, {"after": 1}),
        ("POST", "/objects/batch", "lost", {}),
        ("PUT", "/lfs/", "lost", {}),
        ("PUT", "/lfs/", 500, {}),
        ("POST", "/validate-yaml", 503, {}),
    ],
)
def test_a_hub_that_fails(
    hub: HubServer, command: HfToEdit, few: Path, method: str, path: str, kind: int | str, how: dict[str, int]
) -> None:
    name = f"org/fails-{len(hub.repos)}"
    hub.uploads.clear()
    hub.faults.add(method, path, kind, **how)  # type: ignore[arg-type]
    begun = time.monotonic()
    done = command("push", few, name, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - begun >= how.get("retry_after", 0)
    competitors = frozenset({"competitor.txt"} if kind == "conflict" else ())
    check_whole(pushed(hub, name).head("main"), few, beside=competitors)
    check_history(pushed(hub, name))
    messages = [commit.message for commit in pushed(hub, name).head("main").history()]
    assert len(messages) == 4 + (how.get("times", 1) if kind == "conflict" else 0), messages
    assert set(hub.uploads.values()) <= ({1, 2} if path == "/lfs/" else {1})


def test_a_hub_that_is_down(hub: HubServer, command: HfToEdit, few: Path) -> None:
    hub.faults.add("GET", "org/down$", 503, times=8)
    error = command.fails("push", few, "org/down")
    assert "(503: Service Unavailable). Tried 8 times." in error and "the same command continues" in error
    hub.faults.add("GET", "org/down$", 429, times=8)
    assert "(429: Too Many Requests). Tried 8 times." in command.fails("push", few, "org/down")
    hub.faults.add("POST", "org/down/commit", 500, times=8, after=1)
    assert "(500: " in command.fails("push", few, "org/down")
    assert GUARD in pushed(hub, "org/down").head("main").files
    assert command("push", few, "org/down").code == 0
    check_whole(pushed(hub, "org/down").head("main"), few)


def test_a_hub_that_takes_no_more_commits(hub: HubServer, few: Path) -> None:
    hub.faults.add("POST", "org/busy/commit", 429, times=3, after=1, retry_after=1)
    done = alone(hub, "push", few, "org/busy", HF_TOKEN=hub.token, HF_TOEDIT_RETRY_S="0.0002")  # 1.44 s in total
    assert done.code == 1
    assert "(429: Too Many Requests). Tried 3 times. Finished work is kept" in done.stderr


def test_somebody_finishes_the_same_push_first(hub: HubServer, command: HfToEdit, few: Path) -> None:
    assert command("push", few, "org/first").code == 0
    done = dict(pushed(hub, "org/first").head("main").files)
    hub.faults.add("POST", "org/second/commit", "conflict", after=1, files={**done, GUARD: None})
    assert command("push", few, "org/second", "--json").code == 0
    assert dict(pushed(hub, "org/second").head("main").files).keys() == done.keys()
    check_whole(pushed(hub, "org/second").head("main"), few)


def test_files_that_the_hub_leaves_out_are_named(hub: HubServer, command: HfToEdit, few: Path) -> None:
    hub.create_repo("dataset", "org/ignoring", {".gitignore": b"*.parquet\n"}, private=True)
    error = command.fails("push", few, "org/ignoring")
    assert "data/gen1/train-00000-of-00002.parquet was sent and is not in dataset 'org/ignoring'" in error
    assert "README.md" not in pushed(hub, "org/ignoring").head("main").files
