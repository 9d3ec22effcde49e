"""Writes to `HubServer` with the real clients, and their behaviour at its faults."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import subprocess
import sys
import textwrap
from typing import Any

from tests.hub_server import Account, Dropped, HubServer, Request
from tests.test_hub_server import ROW_CARD, client


def test_push(hub_server: HubServer) -> None:
    out = client(
        hub_server,
        """
        import pathlib, tempfile
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
        api, repo = HfApi(), {"repo_id": "owner/rows", "repo_type": "dataset"}
        out["url"] = api.create_repo(**repo, private=True).repo_id
        out["again"] = [api.create_repo(**repo, exist_ok=True).repo_id, error(api.create_repo, **repo)]
        out["names"] = [error(api.create_repo, "other/rows"), api.create_repo("m").repo_id]
        out["files"] = api.list_repo_files(**repo)
        first = api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", **repo, commit_description="why")
        big = CommitOperationAdd("data/big.parquet", b"big" * 1000)
        api.preupload_lfs_files(additions=[big], **repo)
        folder = pathlib.Path(tempfile.mkdtemp())
        for name, data in {"b.txt": "b", "c.bin": "c", "skip.tmp": "s", "empty.bin": ""}.items():
            (folder / name).write_text(data)
        add, delete, copy = CommitOperationAdd, CommitOperationDelete, CommitOperationCopy
        operations = [big, add("é/x.txt", b"x"), delete("a.txt"), add("same.bin", b"big" * 1000)]
        operations += [add(".gitignore", b"*.log\\n"), add("é/1.log", b"ignored")]
        commit = api.create_commit(operations=operations, commit_message="Two", parent_commit=first.oid, **repo)
        out["oids"] = [first.oid, commit.oid]
        api.upload_folder(folder_path=folder, path_in_repo="é", ignore_patterns="*.tmp", **repo)
        copies = [copy("same.bin", "copy.bin"), copy("é/x.txt", "copy.txt"), delete("é/")]
        last = api.create_commit(operations=copies, commit_message="Three", **repo)
        same = [add("copy.txt", b"x"), add("data/big.parquet", b"big" * 1000)]
        out["same"] = api.create_commit(operations=same, commit_message="None", **repo).oid == last.oid
        commits = api.list_repo_commits(**repo)
        out["commits"] = [[c.title, c.message, c.authors] for c in commits]
        change = {"operations": [add("z", b"z")], "commit_message": "m"}
        out["errors"] = [
            error(api.create_commit, **change, **repo, parent_commit=first.oid), error(api.delete_file, "none", **repo),
            error(api.create_commit, **change, **repo, revision="none"),
            error(api.create_commit, **change, repo_id="owner/none"),
        ]
        api.update_repo_settings(**repo, private=False)
        out["private"] = api.repo_info(**repo).private
        api.delete_repo("m")
        out["deleted"] = [api.repo_exists("owner/m"), error(api.delete_repo, "m")]
        """,
        HF_TOKEN=hub_server.token,
    )
    repo = hub_server.repos["dataset", "owner/rows"]
    assert (out["url"], out["files"]) == ("owner/rows", [".gitattributes"])
    assert out["again"] == ["owner/rows", ["HfHubHTTPError", 409]]
    assert out["names"] == [["HfHubHTTPError", 403], "owner/m"]
    one, two, three, four = repo.commits[1:]
    assert out["oids"] == [one.sha, two.sha]
    assert set(two.files) == {".gitattributes", ".gitignore", "data/big.parquet", "same.bin", "é/x.txt"}
    assert set(three.files) - set(two.files) == {"é/b.txt", "é/c.bin", "é/empty.bin"}
    assert set(four.files) == set(two.files) - {"é/x.txt"} | {"copy.bin", "copy.txt"}
    assert four.files["copy.bin"] == b"big" * 1000 and four.files["copy.txt"] == b"x"
    assert {path for path, blob in three.files.items() if blob.lfs} == {"data/big.parquet", "same.bin", "é/c.bin"}
    assert hub_server.uploads == {four.files["copy.bin"].sha256: 1, three.files["é/c.bin"].sha256: 1}
    assert out["same"] and out["commits"][0] == ["Three", "", ["owner"]] and out["commits"][-2][1] == "why"
    gone = ["RepositoryNotFoundError", 404]
    assert out["errors"] == [
        ["HfHubHTTPError", 412],
        ["RemoteEntryNotFoundError", 404],
        ["RevisionNotFoundError", 404],
        gone,
    ]
    assert (out["private"], out["deleted"]) == (False, [False, gone])


def test_lfs_wire(hub_server: HubServer) -> None:
    hub_server.create_repo("dataset", "org/rows", {})
    data, headers = b"data", {"Authorization": f"Bearer {hub_server.token}"}
    oid = hashlib.sha256(data).hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", int(hub_server.endpoint.rsplit(":", 1)[1]), timeout=10)

    def ask(method: str, path: str, body: Any) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else "\n".join(json.dumps(line) for line in body)
        connection.request(method, path.removeprefix(hub_server.endpoint), content, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    batch = "/datasets/org/rows.git/info/lfs/objects/batch"
    _, answer = ask("POST", batch, [{"objects": [{"oid": oid, "size": 4}]}])
    actions = answer["objects"][0]["actions"]
    pointer = {"path": "a.bin", "algo": "sha256", "oid": oid, "size": 4}
    commit = [{"key": "header", "value": {"summary": "s"}}, {"key": "lfsFile", "value": pointer}]
    status, answer = ask("POST", "/api/datasets/org/rows/commit/main", commit)
    assert status == 400 and "a.bin" in answer["error"]
    assert ask("POST", actions["verify"]["href"], [{"oid": oid, "size": 4}])[0] == 404
    assert ask("PUT", actions["upload"]["href"], b"dada")[0] == 400
    assert ask("PUT", actions["upload"]["href"] + "0", data)[0] == 403
    assert ask("PUT", actions["upload"]["href"], data)[0] == 200
    assert ask("POST", actions["verify"]["href"], [{"oid": oid, "size": 4}])[0] == 200
    assert ask("POST", batch, [{"objects": [{"oid": oid, "size": 4}]}])[1]["objects"] == [{"oid": oid, "size": 4}]
    assert "error" in ask("POST", batch, [{"objects": [{"oid": oid, "size": 5}]}])[1]["objects"][0]
    assert ask("POST", "/api/datasets/org/rows/commit/main", commit)[0] == 200
    assert hub_server.uploads == {oid: 1}
    empty = ask("POST", "/api/datasets/org/rows/commit/main", commit[:1])
    assert empty[0] == 200 and len(hub_server.repos["dataset", "org/rows"].commits) == 3
    assert [ask("POST", "/api/datasets/org/rows/commit/main", lines)[0] for lines in ([], [{}], b"{")] == [400] * 3
    readme = {"content": "---\na: 1\na: 2\n---\n", "path": "README.md", "encoding": "utf-8"}
    status, answer = ask("POST", "/api/datasets/org/rows/commit/main", [commit[0], {"key": "file", "value": readme}])
    assert status == 400 and "duplicated mapping key" in answer["error"]
    connection.close()


def test_write_access(hub_server: HubServer) -> None:
    hub_server.create_repo("dataset", "org/open", {"a.txt": b"a"})
    hub_server.create_repo("dataset", "org/hidden", {}, private=True)
    hub_server.accounts["hf_stranger"] = Account("stranger")
    out = client(
        hub_server,
        """
        from huggingface_hub import HfApi
        def write(token, name="org/open", **kwargs):
            options = {"repo_id": name, "repo_type": "dataset", "token": token, **kwargs}
            return error(HfApi().upload_file, path_or_fileobj=b"b" * 9, path_in_repo="b.bin", **options)
        reader, owner = sys.argv[1:]
        out["readable"] = HfApi(token=reader).dataset_info("org/hidden").private
        check = lambda **kwargs: error(HfApi().auth_check, "org/hidden", repo_type="dataset", **kwargs)
        out["checks"] = [check(token=reader), check(token=reader, write=True), check(token=owner, write=True)]
        out["reader"] = [write(reader), write(reader, "org/hidden"), error(HfApi(token=reader).create_repo, "x")]
        exists = HfApi(token=reader).create_repo("org/open", repo_type="dataset", exist_ok=True)
        out["exists"] = exists.repo_id
        out["stranger"] = [write("hf_stranger"), write("hf_stranger", "org/hidden"), write("hf_wrong")]
        out["anonymous"] = [write(False), error(HfApi(token=False).create_repo, "x")]
        out["pull"] = [
            write("hf_stranger", create_pr=True), write("hf_stranger", revision="refs/pr/1"),
            write(reader, create_pr=True), write("hf_stranger", "org/hidden", create_pr=True),
        ]
        api = HfApi(token="hf_stranger")
        merge = {"repo_id": "org/open", "repo_type": "dataset", "discussion_num": 1}
        out["merge"] = [error(api.merge_pull_request, **merge), error(api.merge_pull_request, **merge, token=owner)]
        """,
        hub_server.read_token,
        hub_server.token,
    )
    forbidden, hidden = ["HfHubHTTPError", 403], ["RepositoryNotFoundError", 404]
    assert out["readable"] is True and out["exists"] == "org/open"
    assert out["checks"] == [None, forbidden, None]
    assert out["reader"] == [forbidden] * 3
    assert out["stranger"] == [forbidden, hidden, ["HfHubHTTPError", 401]]
    assert [status for _, status in out["anonymous"]] == [401, 401]
    assert out["pull"] == [None, None, forbidden, hidden]
    assert out["merge"] == [forbidden, None]
    assert hub_server.repos["dataset", "org/open"].head("main").files["b.bin"] == b"b" * 9


def test_pull_requests_and_branches(hub_server: HubServer) -> None:
    sha = hub_server.create_repo("dataset", "org/rows", {"a.txt": b"a", "b.txt": b"b"})
    hub_server.page_size = 1
    out = client(
        hub_server,
        """
        from huggingface_hub import CommitOperationAdd as Add, HfApi, hf_hub_download
        api, repo = HfApi(), {"repo_id": "org/rows", "repo_type": "dataset"}
        def new(files, message="m", **kwargs):
            added = [Add(name, data.encode()) for name, data in files.items()]
            return api.create_commit(operations=added, commit_message=message, **repo, **kwargs)
        one = new({"c.txt": "c"}, "One", create_pr=True)
        out["one"] = [one.pr_num, one.pr_revision, one.pr_url.removeprefix(api.endpoint)]
        new({"d.txt": "d", "data/é.bin": "d"}, "More", revision="refs/pr/1")
        out["file"] = open(hf_hub_download("org/rows", "data/é.bin", repo_type="dataset", revision="refs/pr/1")).read()
        two = api.create_pull_request(**repo, title="Two")
        three = api.create_discussion(**repo, title="Three", description="text")
        out["new"] = [[d.num, d.status, d.is_pull_request, d.git_reference] for d in (two, three)]
        new({"a.txt": "mine"}, revision=two.git_reference)
        new({"a.txt": "theirs"})
        change = lambda num, to: api.change_discussion_status(discussion_num=num, new_status=to, comment="c", **repo)
        merge = lambda num: api.merge_pull_request(discussion_num=num, **repo)
        out["draft"] = error(merge, 2)
        out["status"] = [change(2, "open").new_status, change(3, "closed").new_status]
        out["merge"] = [error(merge, 3), error(merge, 2), error(merge, 1), error(merge, 1), error(merge, 9)]
        details = [api.get_discussion_details(discussion_num=num, **repo) for num in (1, 2, 3)]
        out["details"] = [[d.status, d.conflicting_files, [e.type for e in d.events]] for d in details]
        out["merged"] = details[0].merge_commit_oid == api.repo_info(**repo).sha
        numbers = lambda **kwargs: [d.num for d in api.get_repo_discussions(**repo, **kwargs)]
        out["lists"] = [
            numbers(), numbers(discussion_type="pull_request"), numbers(discussion_type="discussion"),
            numbers(discussion_status="open"), numbers(discussion_status="closed"), numbers(author="owner"),
            numbers(author="none"),
        ]
        api.create_branch(**repo, branch="feature/x", revision=sys.argv[1])
        api.create_branch(**repo, branch="feature/x", exist_ok=True)
        new({"only.txt": ""}, revision="feature/x")
        api.create_tag(**repo, tag="v1", revision="refs/pr/1")
        out["refused"] = [
            error(api.create_branch, **repo, branch="feature/x"), error(api.create_branch, **repo, branch="refs/pr/1"),
            error(api.create_tag, **repo, tag="v1"), error(api.delete_branch, **repo, branch="main"),
            error(new, {"x": "x"}, revision="v1"),
        ]
        refs = api.list_repo_refs(**repo, include_pull_requests=True)
        named = (refs.branches, refs.tags, refs.pull_requests)
        out["refs"] = [[ref.ref for ref in kind] for kind in named]
        out["files"] = [api.list_repo_files(**repo, revision=name) for name in ("main", "feature/x", "v1")]
        api.delete_branch(**repo, branch="feature/x")
        api.delete_tag(**repo, tag="v1")
        out["deleted"] = [error(api.delete_branch, **repo, branch="feature/x"), error(api.delete_tag, **repo, tag="v1")]
        """,
        sha,
        HF_TOKEN=hub_server.token,
    )
    assert out["one"] == [1, "refs/pr/1", "/datasets/org/rows/discussions/1"]
    assert out["file"] == "d"
    assert out["new"] == [[2, "draft", True, "refs/pr/2"], [3, "open", False, None]]
    bad, conflict, gone = ["BadRequestError", 400], ["HfHubHTTPError", 409], ["RevisionNotFoundError", 404]
    assert (out["draft"], out["status"]) == (bad, ["open", "closed"])
    assert out["merge"] == [bad, conflict, None, bad, ["HfHubHTTPError", 404]]
    assert out["details"] == [
        ["merged", [], ["status-change", "commit", "commit"]],
        ["open", ["a.txt"], ["comment", "comment", "status-change", "commit"]],
        ["closed", None, ["comment", "comment", "status-change"]],
    ]
    assert out["merged"] is True
    assert out["lists"] == [[3, 2, 1], [2, 1], [3], [2], [3, 1], [3, 2, 1], []]
    assert out["refused"] == [conflict, bad, conflict, ["HfHubHTTPError", 403], gone]
    pulls = ["refs/pr/1", "refs/pr/2"]
    assert out["refs"] == [["refs/heads/main", "refs/heads/feature/x"], ["refs/tags/v1"], pulls]
    common = ["a.txt", "b.txt", "c.txt", "d.txt", "data/é.bin"]
    assert out["files"] == [common, ["a.txt", "b.txt", "only.txt"], common]
    assert out["deleted"] == [gone, gone]
    assert hub_server.repos["dataset", "org/rows"].head("main").files["a.txt"] == b"theirs"


def test_tree_pages(hub_server: HubServer) -> None:
    files = {f"{index % 3}/é {index}.txt": b"" for index in range(10)}
    hub_server.create_repo("dataset", "org/many", files)
    hub_server.page_size = 4
    out = client(
        hub_server,
        """
        from huggingface_hub import HfApi, HfFileSystem
        tree = lambda **kwargs: [e.path for e in HfApi().list_repo_tree("org/many", repo_type="dataset", **kwargs)]
        out["all"], out["top"], out["below"] = tree(recursive=True), tree(), tree(path_in_repo="0", expand=True)
        out["glob"] = HfFileSystem().glob("datasets/org/many/**/*.txt")
        """,
    )
    assert out["all"] == sorted([*files, "0", "1", "2"])
    assert (out["top"], out["below"]) == (["0", "1", "2"], sorted(path for path in files if path.startswith("0/")))
    assert out["glob"] == [f"datasets/org/many/{path}" for path in sorted(files)]


BAD_CARDS = {
    "a: [": "YAML Metadata Error",
    "- a": "must be an object",
    "a: 1\na: 2": "duplicated mapping key 'a'",
    "license: {name: mit}": '"license" must be a string or an array',
    "license: MIT License": "known license",
    "language: English": "ISO 639",
    "tags: [1]": '"tags" must hold strings',
    "size_categories: small": "size_categories",
    "configs: {}": '"configs" must be an array',
    "configs: [{data_files: x}]": "configs[0].config_name",
    "configs: [{config_name: a}]": "configs[0].data_files",
    "configs: [{config_name: a, data_files: [{split: train}]}]": "configs[0].data_files",
    "configs: [{config_name: a, data_files: x}, {config_name: a, data_files: y}]": "2 configs called 'a'",
}


def test_cards(hub_server: HubServer) -> None:
    hub_server.create_repo("dataset", "org/rows", {})
    out = client(
        hub_server,
        """
        import warnings
        from huggingface_hub import DatasetCard, HfApi
        api, repo = HfApi(), {"repo_id": "org/rows", "repo_type": "dataset"}
        def push(text):
            try:
                api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", **repo)
            except ValueError as exc:
                return str(exc)
        good, *headers = json.loads(sys.argv[1])
        out["refused"] = [push(f"---\\n{header}\\n---\\n") for header in headers]
        with warnings.catch_warnings(record=True) as caught:
            out["good"] = [push(good), push("# No header")]
        out["warned"] = [str(warning.message) for warning in caught]
        out["valid"] = [error(DatasetCard(f"---\\n{h}\\n---\\n").validate) for h in ("license: mit", "license: [1]")]
        """,
        json.dumps([ROW_CARD.decode(), *BAD_CARDS]),
        HF_TOKEN=hub_server.token,
    )
    for header, reason, refusal in zip(BAD_CARDS, BAD_CARDS.values(), out["refused"], strict=True):
        assert refusal and reason in refusal, header
    assert out["good"] == [None, None] and len(out["warned"]) == 1 and "empty or missing yaml" in out["warned"][0]
    assert out["valid"] == [None, ["ValueError", None]]
    assert len(hub_server.repos["dataset", "org/rows"].commits) == 3


def test_push_to_hub(hub_server: HubServer) -> None:
    hub_server.owner.orgs.add("org")
    out = client(
        hub_server,
        """
        from datasets import Dataset, DatasetDict, load_dataset
        rows = lambda *xs: Dataset.from_dict({"x": list(xs)})
        rows(1, 2, 3).push_to_hub("org/rows", private=True, num_shards=3)
        rows(4).push_to_hub("org/rows", "second", split="test")
        DatasetDict(train=rows(5), test=rows(6)).push_to_hub("org/rows", "both", revision="dev")
        rows(7).push_to_hub("org/rows", create_pr=True)
        for streaming in (False, True):
            load = lambda *args, **kwargs: load_dataset("org/rows", *args, streaming=streaming, **kwargs)
            xs = lambda *args, **kwargs: [r["x"] for r in load(*args, **kwargs)]
            out[f"{streaming}"] = [
                xs(split="train"), xs("second", split="test"), xs("both", split="test", revision="dev"),
                xs(split="train", revision="refs/pr/1"),
            ]
        """,
        HF_TOKEN=hub_server.token,
    )
    assert out["False"] == out["True"] == [[1, 2, 3], [4], [6], [7]]
    assert set(hub_server.uploads.values()) == {1}


def test_faults(hub_server: HubServer) -> None:
    hub_server.create_repo("dataset", "org/rows", {"a.txt": b"0123456789"})
    faults = hub_server.faults
    commit, put = "/commit/main$", "^/lfs/"
    # The client retries reads, uploads and the calls before a commit by itself, but never a commit.
    faults.add("POST", "/preupload/", 429, retry_after=0)
    faults.add("PUT", put, "drop")
    faults.add("PUT", put, "lost")
    faults.add("GET", "/resolve/", "cut")
    faults.add("POST", commit, 500)
    faults.add("POST", commit, 429, retry_after=7)
    faults.add("POST", commit, "drop")
    faults.add("POST", commit, "lost")
    faults.add("POST", commit, "cut")
    faults.add("POST", commit, 409)
    faults.add("POST", commit, 503, after=99)
    faults.add("POST", commit, "conflict", files={"a.txt": b"theirs"})
    assert len(faults.pending) == 12
    out = client(
        hub_server,
        """
        from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
        api, repo = HfApi(), {"repo_id": "org/rows", "repo_type": "dataset"}
        out["file"] = open(hf_hub_download("org/rows", "a.txt", repo_type="dataset")).read()
        files = [CommitOperationAdd(f"{name}.bin", name.encode()) for name in "xy"]
        api.preupload_lfs_files(additions=files, **repo)
        out["errors"], out["after"] = [], []
        for index in range(8):
            parent = api.repo_info(**repo).sha
            added = [CommitOperationAdd(f"{index}.txt", b"new")]
            try:
                api.create_commit(operations=added, commit_message="m", parent_commit=parent, **repo)
                out["errors"].append(None)
            except Exception as exc:
                response = getattr(exc, "response", None)
                status = response is not None and [response.status_code, response.headers.get("retry-after")]
                out["errors"].append([type(exc).__name__, status])
            out["after"].append(api.file_exists(filename=f"{index}.txt", **repo))
        api.create_commit(operations=files, commit_message="m", **repo)
        """,
        HF_TOKEN=hub_server.token,
    )
    assert [(fault.kind, fault.times, fault.after < 99) for fault in faults.pending] == [(503, 1, True)]
    assert out["file"] == "0123456789"
    assert [(name, status and status[0]) for name, status in out["errors"][:-1]] == [
        ("HfHubHTTPError", 500),
        ("HfHubHTTPError", 429),
        ("RemoteProtocolError", False),
        ("RemoteProtocolError", False),
        ("RemoteProtocolError", False),
        ("HfHubHTTPError", 409),
        ("HfHubHTTPError", 412),
    ]
    assert out["errors"][1][1][1] == "7" and out["errors"][-1] is None
    assert out["after"] == [False, False, False, True, True, False, False, True]
    repo = hub_server.repos["dataset", "org/rows"]
    assert repo.head("main").files["a.txt"] == b"theirs"
    # A lost upload is sent again, and a dropped one never arrived.
    assert sorted(hub_server.uploads.values()) == [1, 2]
    statuses = [status for method, path, status in hub_server.answers if path.endswith("/commit/main")]
    assert statuses == [500, 429, 0, 0, 200, 409, 412, 200, 200]


def test_killed_client(hub_server: HubServer) -> None:
    """A hook sees each request first; it may kill its client, and may prevent the request from being carried out."""
    hub_server.create_repo("dataset", "org/rows", {})
    code = """
        from huggingface_hub import HfApi
        HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="org/rows", repo_type="dataset")
    """
    for dropped in (True, False):
        started = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], env={**hub_server.env, "HF_TOKEN": hub_server.token}
        )

        def kill(request: Request, process: subprocess.Popen[bytes] = started, dropped: bool = dropped) -> None:
            if request.path.endswith("/commit/main"):
                process.kill()
                process.wait()
                if dropped:
                    raise Dropped

        hub_server.on_request = kill
        assert started.wait(60) == -signal.SIGKILL
        hub_server.drain()
        assert hub_server.answers[-1][1:] == ("/api/datasets/org/rows/commit/main", 0 if dropped else 200)
        assert ("x.txt" in hub_server.repos["dataset", "org/rows"].head("main").files) is not dropped


def test_several_clients(hub_server: HubServer) -> None:
    files = {f"{index}.bin": bytes([index]) * 1000 for index in range(8)}
    hub_server.create_repo("dataset", "org/rows", {})
    code = """
        import concurrent.futures
        from huggingface_hub import CommitOperationAdd, HfApi
        def push(index):
            added = [CommitOperationAdd(f"{index}.bin", bytes([index]) * 1000)]
            HfApi().create_commit("org/rows", added, commit_message=f"{index}", repo_type="dataset")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(push, range(8)))
    """
    client(hub_server, code, HF_TOKEN=hub_server.token)
    commits = hub_server.repos["dataset", "org/rows"].commits
    assert commits[-1].files == files and len(commits) == 9
    assert set(hub_server.uploads.values()) == {1} and len(hub_server.uploads) == 8
