"""`hf-toedit push`: its output, its errors, and that it keeps the token secret."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from hf_toedit.config import content_hash
from hf_toedit.publish.pull import GUARD
from hf_toedit.storage.files import sha256
from tests.cli.command import HfToEdit
from tests.cli.pushing import PLAN, Stopwatch, alone, check_history, check_whole, load, pushed, texts
from tests.hub_server import HubServer
from tests.test_hub_server import client

CHECKS = """
out["streamed"] = [row["text"] for row in rows.select_columns("text")] == list(dataset["train"]["text"])
out["first"] = list(first["train"]["text"])
out["source"] = list(source["train"]["text"])
"""


def _check_snippets(hub: HubServer, command: HfToEdit, card: str, folder: Path) -> None:
    """Run the code in the card of a run of three generations."""
    ran = client(hub, "\n".join([*re.findall(r"(?ms)^```python\n(.*?)^```$", card), CHECKS]), HF_TOKEN=hub.token)
    reverting = re.findall(r"(?m)^hf-toedit (revert .*)$", card)
    assert command(*shlex.split(reverting[0]), cwd=folder).code == 0
    source = load_dataset(str(folder / "source"), split="train", cache_dir=str(folder / "cache"))
    assert ran["streamed"] and ran["first"] != ran["source"] == list(source["text"])


def test_there_and_back(hub: HubServer, command: HfToEdit, run: Path, tmp_path: Path) -> None:
    assert "was not verified" in command.fails("push", run, "org/stories")
    run = Path(copytree(run, tmp_path / "run"))
    command("verify", run)
    assert ("dataset", "org/stories") not in hub.repos

    dry = command("push", run, "org/stories", "--dry-run").stdout.splitlines()
    planned = command("push", run, "org/stories", "--dry-run", "--json").json
    assert (dry[0], planned["creates"], planned["private"]) == (
        "Would create: repository (private)",
        ["repository"],
        True,
    )
    assert (planned["num_files_sent"], planned["num_files_skipped"], planned["deleted"]) == (12, 0, [])
    assert ("dataset", "org/stories") not in hub.repos

    done = command("push", run, "org/stories")
    url = f"{hub.endpoint}/datasets/org/stories"
    assert done.stdout.startswith("Sent 12 files (") and done.stdout.endswith(
        f'0 were already on the Hub. {url}\nLoad: datasets.load_dataset("org/stories")\n'
    )
    assert done.stderr == ""
    repo = pushed(hub, "org/stories")
    assert repo.private
    check_whole(repo.head("main"), run)
    check_history(repo)
    card = bytes(repo.head("main").files["README.md"]).decode()
    _check_snippets(hub, command, card, tmp_path)

    asked = len(hub.answers)
    again = command("push", run, "org/stories", "--json").json
    sent = {name: again[name] for name in ("num_files_sent", "num_bytes_sent", "num_files_skipped", "private")}
    assert sent == {"num_files_sent": 0, "num_bytes_sent": 0, "num_files_skipped": 12, "private": True}
    assert (again["url"], again["commit"], again["revision"]) == (url, repo.head("main").sha, None)
    assert {method for method, _, _ in hub.answers[asked:]} <= {"GET", "HEAD"}

    names = [None, "gen1", "gen2", "gen3"]
    default, *generations = load(hub, *(("org/stories", name, None) for name in names))
    assert generations == [texts(run, number) for number in (1, 2, 3)]
    assert default == generations[-1]
    assert command("verify", "org/stories").stdout.startswith("Sound: ")


def test_what_is_not_finished_or_not_sound_is_refused(
    hub: HubServer, command: HfToEdit, few: Path, tmp_path: Path
) -> None:
    run = Path(copytree(few, tmp_path / "run"))
    [first, second] = sorted(run.glob("data/gen1/*"))
    whole = first.read_bytes()
    first.write_bytes(whole[:9] + b"?" + whole[10:])
    assert f"{first} is damaged" in command.fails("push", run, "org/refused")
    assert not any(path.startswith("data/") for path in pushed(hub, "org/refused").head("main").files)
    first.unlink()
    assert "1 of 2 shards of" in command.fails("push", run, "org/refused")
    assert "1 of 2 shards of" in command.fails("push", run, "org/refused", "--unverified")
    first.write_bytes(whole)
    (run / "toedit/verified.json").write_text('{"data": "0"}')
    assert "was not verified, or was changed since" in command.fails("push", run, "org/refused")
    assert command("push", run, "org/refused", "--unverified").code == 0
    check_whole(pushed(hub, "org/refused").head("main"), run)


def test_visibility(hub: HubServer, command: HfToEdit, few: Path) -> None:
    command("push", few, "org/public", "--public")
    assert not pushed(hub, "org/public").private
    hub.create_repo("dataset", "org/kept", {".gitattributes": b""}, private=True)
    said = command("push", few, "org/kept", "--public").stdout.splitlines()
    assert said[0].startswith("org/kept exists and is private; --public does not change that.")
    assert pushed(hub, "org/kept").private


TABLE = b"PAR1 made by somebody else PAR1"


def test_what_another_tool_made_is_replaced_only_if_that_is_said(hub: HubServer, command: HfToEdit, few: Path) -> None:
    words = b"---\nlicense: mit\n---\n# My words\n"
    theirs = {"data/train-00000-of-00001.parquet": TABLE, "README.md": words, "LICENSE": b"MIT", "more.jsonl": b"{}"}
    hub.create_repo("dataset", "org/theirs", theirs)
    error = command.fails("push", few, "org/theirs")
    assert "holds files that hf-toedit did not write: data/train-00000-of-00001.parquet, more.jsonl." in error
    assert len(pushed(hub, "org/theirs").commits) == 1
    dry = command("push", few, "org/theirs", "--replace", "--dry-run", "--json").json
    assert dry["deleted"] == ["data/train-00000-of-00001.parquet", "more.jsonl"]
    assert "Would delete: more.jsonl" in command("push", few, "org/theirs", "--replace", "--dry-run").stdout
    assert command("push", few, "org/theirs", "--replace").code == 0
    head = pushed(hub, "org/theirs").head("main")
    check_whole(head, few, beside=frozenset({"LICENSE"}))
    assert b"license: mit" in head.files["README.md"] and b"# My words" in head.files["README.md"]
    before = [commit for commit in head.history() if PLAN in commit.files][1:]
    assert before and all(GUARD in commit.files for commit in before)
    *errors, loaded = load(hub, *(("org/theirs", None, commit.sha) for commit in [*before, head]))
    assert all("push-not-finished" in error for error in errors)
    assert loaded == texts(few, 1)


def test_another_run_is_replaced_only_if_that_is_said(
    hub: HubServer, command: HfToEdit, few: Path, other: Path
) -> None:
    command("push", few, "org/runs")
    error = command.fails("push", other, "org/runs")
    assert "holds another run: --seed is 0 in the run and 5 here; --shard-size or --num-shards cut other" in error
    dry = command("push", other, "org/runs", "--replace", "--dry-run", "--json").json
    old = [f"{kind}/gen1/train-0000{number}-of-00002" for kind in ("data", "toedit/stats") for number in range(2)]
    assert dry["deleted"] == [f"{path}.{'parquet' if path.startswith('data') else 'json'}" for path in old]
    watch = Stopwatch(hub, 2, carried_out=True, path="/commit/main")
    assert command("push", other, "org/runs", "--replace", kill_when=watch.reached.is_set).code == -9
    watch.over()
    half = pushed(hub, "org/runs").head("main")
    assert GUARD in half.files
    assert "holds data that are not of this run" in command.fails("push", other, "org/runs")
    assert command("push", other, "org/runs", "--replace").code == 0
    check_whole(pushed(hub, "org/runs").head("main"), other)
    assert load(hub, ("org/runs", None, half.sha), ("org/runs", None, None))[1] == texts(other, 1)


def test_what_the_keeper_lets_datasets_load_stands_until_replaced(hub: HubServer, command: HfToEdit, few: Path) -> None:
    own = {GUARD: b"configs:\n- config_name: mine\n  data_files: mine.csv\n"}
    hub.create_repo("dataset", "org/guarded", {**own, "README.md": b"# Mine"})
    for where in ([], ["--prefix", "v2"]):
        assert "holds a .huggingface.yaml of its own" in command.fails("push", few, "org/guarded", *where)
    assert command("push", few, "org/guarded", "--replace").code == 0
    check_whole(pushed(hub, "org/guarded").head("main"), few)
    hub.commit("dataset", "org/guarded", own)
    assert "holds a .huggingface.yaml of its own" in command.fails("push", few, "org/guarded")


@pytest.mark.parametrize("after", [0, 1], ids=["before its plan", "before its shards"])
def test_two_runs_that_are_pushed_at_once_do_not_mix(
    after: int, hub: HubServer, command: HfToEdit, few: Path, other: Path
) -> None:
    name = f"org/race-{after}"
    hub.faults.add("POST", f"{name}/commit", "conflict", after=after, files={PLAN: (other / PLAN).read_bytes()})
    assert "holds another run" in command.fails("push", few, name)
    assert not [path for path in pushed(hub, name).head("main").files if path.startswith("data/")]


def test_a_further_generation_is_added_to_what_loads_all_the_while(
    hub: HubServer, command: HfToEdit, few: Path, tmp_path: Path
) -> None:
    run = Path(copytree(few, tmp_path / "run"))
    command("push", run, "org/grows")
    before = texts(run, 1)
    command("run", run, "--generations", 2, "--quiet")
    assert "was changed since" in command.fails("push", run, "org/grows")
    command("verify", run)
    assert command("push", run, "org/grows", "--json").json["num_files_skipped"] == 4
    check_whole(pushed(hub, "org/grows").head("main"), run)
    states = list(pushed(hub, "org/grows").head("main").history())[1:3]
    assert all(GUARD not in state.files for state in states)
    *meanwhile, after = load(hub, *(("org/grows", None, state.sha) for state in states), ("org/grows", None, None))
    assert meanwhile == [before] * 2
    assert after == texts(run, 2)
    assert "--generations is 2 in the run and 1 here" in command.fails("push", few, "org/grows")


def test_two_runs_in_two_folders_of_one_dataset(hub: HubServer, command: HfToEdit, few: Path, other: Path) -> None:
    command("push", few, "org/both", "--prefix", "first/")
    first = pushed(hub, "org/both").head("main")
    command("push", other, "org/both", "--prefix", "v/2")
    head = pushed(hub, "org/both").head("main")
    assert {path: data for path, data in first.files.items() if path != "README.md"}.items() <= head.files.items()
    assert {path.split("/")[0] for path in head.files} == {".gitattributes", "README.md", "first", "v"}
    check = {"first/": few, "v/2/": other}
    for prefix, run in check.items():
        there = {**head.files, prefix + "README.md": head.files["README.md"]}
        assert json.loads(there[prefix + PLAN])["hash"] == json.loads((run / PLAN).read_text())["hash"]
    between = [commit.sha for commit in head.history()][1:3]
    found = load(
        hub,
        *(("org/both", "first-gen1", sha) for sha in between),
        ("org/both", "first-gen1", None),
        ("org/both", "v-2-gen1", None),
    )
    assert found == [texts(few, 1)] * 3 + [texts(other, 1)]
    assert command("push", few, "org/both", "--prefix", "first", "--json").json["num_files_sent"] == 0


def test_a_branch(hub: HubServer, command: HfToEdit, few: Path) -> None:
    hub.create_repo("dataset", "org/branched", {"README.md": b"# Words\n"})
    main = pushed(hub, "org/branched").head("main")
    assert "Would create: branch" in command("push", few, "org/branched", "--revision", "new/one", "--dry-run").stdout
    done = command("push", few, "org/branched", "--revision", "new/one", "--json").json
    assert (done["revision"], done["url"]) == ("new/one", f"{hub.endpoint}/datasets/org/branched/tree/new/one")
    check_whole(pushed(hub, "org/branched").head("new/one"), few)
    assert pushed(hub, "org/branched").head("main") is main
    assert load(hub, ("org/branched", None, "new/one")) == [texts(few, 1)]


def test_a_pull_request_is_gone_on_with(hub: HubServer, command: HfToEdit, few: Path) -> None:
    hub.create_repo("dataset", "org/asked", {"README.md": b"# Words\n"})
    repo = pushed(hub, "org/asked")
    watch = Stopwatch(hub, 2, carried_out=True, path="/commit/refs")
    assert command("push", few, "org/asked", "--create-pr", kill_when=watch.reached.is_set).code == -9
    watch.over()
    assert [discussion.status for discussion in repo.discussions] == ["draft"]
    hub.faults.add("POST", "/discussions/1/status", "lost")
    done = command("push", few, "org/asked", "--create-pr", "--json").json
    assert done["pull_request"] == f"{hub.endpoint}/datasets/org/asked/discussions/1"
    [discussion] = repo.discussions
    assert (discussion.status, done["revision"]) == ("open", "refs/pr/1")
    check_whole(repo.head("refs/pr/1"), few)
    assert len(repo.head("main").files) == 1
    assert command("push", few, "org/asked", "--create-pr", "--json").json["num_files_sent"] == 0

    hub.faults.add("POST", "/org/lost-answer/discussions$", "lost")
    command("push", few, "org/lost-answer", "--create-pr")
    assert len(pushed(hub, "org/lost-answer").discussions) == 1
    command("push", few, "org/lost-answer")
    closed = pushed(hub, "org/lost-answer").discussions[0]
    closed.status = "closed"
    again = command("push", few, "org/lost-answer", "--create-pr", "--json").json
    assert (again["pull_request"], again["num_files_sent"]) == (None, 0)
    assert len(pushed(hub, "org/lost-answer").discussions) == 1


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (["nobody"], 2, "lacks its owner. Name it as org/name"),
        (["org/a b"], 2, "is not the name of a repository"),
        (["org/x", "--prefix", "../up"], 2, "prefix '../up' is not a folder"),
        (["org/x", "--prefix", "a?b"], 2, "prefix 'a?b' cannot hold '?'"),
        (["org/x", "--prefix", "data/v2"], 2, "is a folder of runs at the root of a repository"),
        (["org/x", "--revision", "b", "--create-pr"], 2, "leave out the revision"),
        (["strangers/x"], 1, "cannot create dataset 'strangers/x' on the Hub (403: You don't have the rights"),
    ],
)
def test_what_cannot_be_meant(command: HfToEdit, few: Path, args: list[str], code: int, expected: str) -> None:
    assert expected in command.fails("push", few, *args, code=code)


def test_a_card_that_cannot_be_kept_is_found_out_first(hub: HubServer, command: HfToEdit, few: Path) -> None:
    hub.create_repo("dataset", "org/torn", {"README.md": b"---\nlicense: mit\n"})
    assert "its front matter has no end" in command.fails("push", few, "org/torn")
    assert len(pushed(hub, "org/torn").commits) == 1


def test_the_token_is_never_said(hub: HubServer, few: Path, tmp_path: Path) -> None:
    run = Path(copytree(few, tmp_path / "run"))
    hub.create_repo("dataset", "org/seen", {".gitattributes": b""})
    reader = alone(hub, "push", run, "org/seen", HF_TOKEN=hub.read_token, HF_DEBUG="1")
    assert reader.code == 1
    assert "(403: Forbidden: you must use a write token). The token lacks the permission" in reader.stderr
    wrong = alone(hub, "push", run, "org/secret", HF_TOKEN="hf_wrong_token")
    assert wrong.stderr.startswith("Error: cannot look at dataset 'org/secret' on the Hub (401: Invalid credentials")
    nobody = alone(hub, "push", run, "org/secret")
    assert "Log in with `hf auth login`" in nobody.stderr
    offline = alone(hub, "push", run, "org/secret", HF_TOKEN=hub.token, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline.stderr
    hub.faults.add("POST", "/org/secret/commit/", 503, times=8, after=1)
    failing = alone(hub, "push", run, "org/secret", HF_TOKEN=hub.token, HF_HUB_VERBOSITY="debug")
    assert failing.code == 1 and "(503: " in failing.stderr
    done = alone(hub, "push", run, "org/secret", HF_TOKEN=hub.token, HF_DEBUG="1")
    assert done.code == 0 and "<TOKEN>" in done.stderr
    tokens = hub.token, hub.read_token, "hf_wrong_token"
    said = [text for each in (reader, wrong, nobody, offline, failing, done) for text in (each.stdout, each.stderr)]
    kept = [path.read_bytes().decode(errors="replace") for path in run.rglob("*") if path.is_file()]
    sent = [
        bytes(data).decode(errors="replace") for repo in hub.repos.values() for data in repo.head("main").files.values()
    ]
    told = [str(repo.commits) + str(repo.discussions) for repo in hub.repos.values()]
    for text in (*said, *kept, *sent, *told):
        assert not any(token in text for token in tokens)


def test_data_that_were_made_anew_do_not_load_until_all_are_there(
    hub: HubServer, command: HfToEdit, few: Path, tmp_path: Path
) -> None:
    run = Path(copytree(few, tmp_path / "run"))
    command("push", run, "org/anew")
    data = run / "data/gen1/train-00001-of-00002.parquet"
    pq.write_table(pq.read_table(data), data, compression="none")
    stats = run / "toedit/stats/gen1/train-00001-of-00002.json"
    record = json.loads(stats.read_text())
    record |= {"num_bytes": data.stat().st_size, "sha256": sha256(data)}
    del record["hash"]
    stats.write_text(json.dumps({"hash": content_hash(record), **record}))
    assert "was changed since" in command.fails("push", run, "org/anew")
    assert command("push", run, "org/anew", "--unverified").code == 0
    last, between, *_ = pushed(hub, "org/anew").head("main").history()
    check_whole(last, run)
    assert GUARD in between.files and "README.md" in between.files
    error, whole = load(hub, ("org/anew", None, between.sha), ("org/anew", None, last.sha))
    assert "push-not-finished" in error
    assert whole == texts(run, 1)
