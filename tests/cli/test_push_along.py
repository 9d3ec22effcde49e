"""`--push-to`: shards are pushed while others are edited, and a failing Hub does not fail the run."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from hf_toedit.config import content_hash
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import parquet
from tests.cli.pushing import MANY, SHARDS, Stopwatch, check_history, check_whole, interrupted, load, pushed, texts
from tests.hub.wire import Dropped, Request
from tests.hub_server import HubServer
from tests.test_hub_server import client


def _planned(command: HfToEdit, source: Path, run: Path, *options: object) -> Path:
    done = command("plan", source, "-o", run, *eager(), *options, "--quiet")
    assert done.code == 0, done
    return run


def _num_done(run: Path) -> int:
    return len(list(run.glob("data/gen2/*.parquet")))


def test_shards_are_pushed_while_others_are_edited_and_a_kill_costs_nothing(
    hub: HubServer, command: HfToEdit, short: Path, many: Path, tmp_path: Path
) -> None:
    run = _planned(command, short, tmp_path / "run", *MANY)
    hub.uploads.clear()
    watch = Stopwatch(hub, 2, carried_out=True, path="/commit/main")
    killed = command("run", run, "--push-to", "org/along", kill_when=watch.reached.is_set)
    num_done = _num_done(run)
    watch.over()
    assert killed.code == -9
    assert num_done < SHARDS
    half = pushed(hub, "org/along").head("main")
    assert any(path.startswith("data/gen2/") for path in half.files)

    all_done = threading.Event()

    def hold_commits(request: Request) -> None:
        """Delay commits until the run has finished: a slow Hub does not delay the run."""
        if "/commit/" in request.path and not all_done.is_set():
            while _num_done(run) < SHARDS:
                all_done.wait(0.01)
            all_done.set()

    hub.on_request = hold_commits
    done = command("run", run, "--push-to", "org/along", "--json").json
    hub.on_request = None
    assert all_done.is_set()
    assert (done["finished"], done["push"]["private"]) == (True, True)
    check_whole(pushed(hub, "org/along").head("main"), run)
    states = check_history(pushed(hub, "org/along"))
    assert set(hub.uploads.values()) == {1}
    assert parquet(run) == parquet(many)
    *errors, whole = load(hub, *(("org/along", None, state.sha) for state in states), ("org/along", None, None))
    assert all(isinstance(error, str) for error in errors)
    assert whole == texts(many, 2)
    assert command("push", run, "org/along", "--json").json["num_files_sent"] == 0


def test_a_hub_that_is_down_for_good_does_not_fail_the_run(
    hub: HubServer, command: HfToEdit, short: Path, many: Path, tmp_path: Path
) -> None:
    run = _planned(command, short, tmp_path / "run", *MANY)
    is_down = threading.Event()

    def drop(request: Request) -> None:
        if "/commit/" in request.path and len(pushed(hub, "org/down").commits) == 2:
            is_down.set()
        if is_down.is_set():
            raise Dropped

    hub.on_request = drop
    done = command("run", run, "--push-to", "org/down")
    hub.on_request = None
    assert is_down.is_set()
    assert done.code == 1
    assert done.stderr.startswith("Error: cannot write to dataset 'org/down' on the Hub (RemoteProtocolError)")
    assert done.stderr.endswith(f"Edited rows are kept; hf-toedit push {run} org/down continues.\n")
    assert "Run folder: " in done.stdout
    assert parquet(run) == parquet(many)
    assert command("run", run, "--push-to", "org/down", "--quiet").code == 0
    check_whole(pushed(hub, "org/down").head("main"), run)


CHECKED = """
    from hf_toedit.errors import RunError
    from hf_toedit.publish.push import Push
    from hf_toedit.publish.push_along import PushAlong
    from hf_toedit.runs.store import RunFolder
    folder = RunFolder(sys.argv[1])
    plan = folder.plan()
    first, second, third, *_ = [shard.name for shard in plan.shards]
    def check(shard):
        if shard.name == third:
            raise RunError("not sound")
    push = Push(plan, folder, "org/checked")
    push.begin()
    along = PushAlong(push, plan, folder, every=3600, check=check)
    for shard in plan.shards:
        along.add(shard.name)
    along.sent()
    out = {"error": str(along.error), "sound": [first, second]}
"""


def test_what_is_behind_a_shard_that_is_not_sound_is_kept_back(hub: HubServer, many: Path) -> None:
    out = client(hub, CHECKED, str(many), HF_TOKEN=hub.token)
    assert out["error"] == "not sound"
    there = {Path(path).stem for path in pushed(hub, "org/checked").head("main").files if path.startswith("data/")}
    assert sorted(there) == out["sound"]


def test_groups_push_their_shards_and_the_last_one_the_card(
    hub: HubServer, command: HfToEdit, short: Path, tmp_path: Path
) -> None:
    run = _planned(command, short, tmp_path / "run", "--num-shards", 4)
    push = "--push-to", "org/groups", "--push-prefix", "runs/1", "--push-revision", "made", "--public"
    hub.faults.add("POST", "/commit/made", "conflict", after=1)
    first = command("run", run, "--shard-group", "0/2", *push, "--json").json
    assert (first["finished"], first["push"]) == (False, None)
    repo = pushed(hub, "org/groups")
    assert not repo.private
    assert len([path for path in repo.head("made").files if path.endswith(".parquet")]) == 2
    second = command("run", run, "--shard-group", "1/2", *push)
    assert second.stdout.splitlines()[-1].endswith(f"{hub.endpoint}/datasets/org/groups/tree/made")
    head = repo.head("made")
    there = {path: data for path, data in head.files.items() if path.startswith("runs/1/")}
    assert len(there) == 4 + 4 + 1 + 3
    assert load(hub, ("org/groups", "runs-1-gen1", "made")) == [texts(run, 1)]


def test_what_cannot_be_pushed_is_found_out_before_any_work(
    hub: HubServer, command: HfToEdit, short: Path, few: Path, tmp_path: Path
) -> None:
    command("push", few, "org/taken")
    run = tmp_path / "run"
    edit = "edit", short, "-o", run, *eager()
    assert "holds another run" in command.fails(*edit, "--push-to", "org/taken")
    assert not (run / "data").exists()
    assert "holds another run" in command.fails("run", run, "--push-to", "org/taken")
    assert "(403: You don't have the rights" in command.fails("run", run, "--push-to", "strangers/x")
    assert "requires --push-to" in command.fails("run", run, "--public", code=2)
    assert "Name it as org/name" in command.fails("run", run, "--push-to", "x", code=2)
    assert not (run / "data").exists()


def test_edit_pushes_what_it_makes_and_what_is_there(
    hub: HubServer, command: HfToEdit, short: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    edit = "edit", short, "-o", run, *eager(), "--limit", 3, "--push-to", "org/edited"
    done = command(*edit, "--unverified")
    sent, load = done.stdout.splitlines()[-2:]
    assert sent.endswith(f"0 were already on the Hub. {hub.endpoint}/datasets/org/edited")
    assert load == 'Load: datasets.load_dataset("org/edited")'
    check_whole(pushed(hub, "org/edited").head("main"), run)
    assert not (run / "toedit/verified.json").exists()
    again = command(*edit, "--json").json
    assert again["push"]["num_files_sent"] == 0
    assert (run / "toedit/verified.json").exists()


def test_a_run_that_is_not_sound_is_not_finished(hub: HubServer, command: HfToEdit, few: Path, tmp_path: Path) -> None:
    run = _planned(command, few.parent / "rows.parquet", tmp_path / "run", "--limit", 6, "--num-shards", 2)
    command("run", run, "--quiet")
    [stats, _] = sorted(run.glob("toedit/stats/gen1/*.json"))
    record = json.loads(stats.read_text())
    record["stats"]["num_tokens"] += 1
    del record["hash"]
    stats.write_text(json.dumps({"hash": content_hash(record), **record}))
    error = command.fails("run", run, "--push-to", "org/unsound", "--quiet")
    assert "verification failed, so the card was not pushed. train-00000-of-00002: generation 1: num_tokens" in error
    assert "README.md" not in pushed(hub, "org/unsound").head("main").files


def test_ctrl_c_does_not_wait_for_the_hub(hub: HubServer, command: HfToEdit, short: Path, tmp_path: Path) -> None:
    run = _planned(command, short, tmp_path / "run", *MANY)
    done = interrupted(hub, "/lfs/", "run", run, "--workers", 0, "--push-to", "org/hangs")
    assert done.code == 130
    assert done.stderr.startswith("Error: stopped."), done
    assert hub.token not in done.stdout + done.stderr
