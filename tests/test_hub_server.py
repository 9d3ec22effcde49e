"""The real clients, each in a process of its own so that it sees HF_ENDPOINT when imported, against `HubServer`."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub_server import Account, Dropped, HubServer, Request

ROW_CARD = b"""---
license: mit
tags: [tiny]
configs:
- config_name: first
  default: true
  data_files: [{split: train, path: a/*.parquet}]
- config_name: second
  data_files: [{split: test, path: b/*.parquet}]
---
# Rows
"""


def parquet(values: list[int]) -> bytes:
    """Return a parquet file with one column, x."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": values}), sink)
    return sink.getvalue()


def client(server: HubServer, code: str, *args: str, **env: str) -> Any:
    """Run client code that fills a dict called `out`, and return that dict; `error` names what a call raises."""
    prelude = """
        import json, sys
        out = {}
        def error(call, *args, **kwargs):
            try:
                call(*args, **kwargs)
            except Exception as exc:
                return [type(exc).__name__, getattr(getattr(exc, "response", None), "status_code", None)]
    """
    program = textwrap.dedent(prelude) + textwrap.dedent(code) + "\nsys.stdout.write('\\n' + json.dumps(out))"
    command = [sys.executable, "-c", program, *args]
    done = subprocess.run(command, env={**server.env, **env}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_wire(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = hub_server.create_repo("dataset", "org/raw", {"é.txt": b"0123456789"})
    connection = http.client.HTTPConnection("127.0.0.1", int(hub_server.endpoint.rsplit(":", 1)[1]), timeout=10)

    def ask(method: str, path: str, span: str = "") -> tuple[int, bytes, http.client.HTTPMessage]:
        connection.request(method, path, headers={"Range": span} if span else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    url = f"/datasets/org/raw/resolve/{sha}/%C3%A9.txt"
    status, body, headers = ask("HEAD", url)
    port = connection.sock.getsockname()
    assert (status, body, headers["Content-Length"], headers["X-Repo-Commit"]) == (200, b"", "10", sha)
    assert ask("GET", url)[:2] == (200, b"0123456789")
    for span, part in {"bytes=2-4": b"234", "bytes=8-": b"89", "bytes=-3": b"789", "bytes=8-99": b"89"}.items():
        assert ask("GET", url, span)[:2] == (206, part)
    status, _, headers = ask("GET", url, "bytes=10-")
    assert (status, headers["Content-Range"]) == (416, "bytes */10")
    assert ask("GET", "/api/datasets/org/raw/tree/main/%C3%A8")[2]["X-Error-Code"] == "EntryNotFound"
    assert ask("GET", "/api/datasets/org/raw/revision/%C4%80")[2]["X-Error-Code"] == "RevisionNotFound"
    assert ask("POST", "/api/unknown")[0] == 404
    assert connection.sock.getsockname() == port, "the connection was not kept alive"
    connection.close()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "https_proxy"):
        monkeypatch.setenv(name, "1")
        assert name not in hub_server.env


def test_hub_api(hub_server: HubServer) -> None:
    old = hub_server.create_repo("dataset", "org/rows", {"README.md": ROW_CARD, "a/1.parquet": parquet([1, 2])})
    new = hub_server.commit("dataset", "org/rows", {"b/rows.jsonl": b'{"x": 3}\n', "notes é.txt": b"new"})
    hub_server.repos["dataset", "org/rows"].tags["v1"] = old
    model = hub_server.create_repo("model", "org/empty", {"config.json": b"{}", "sub/w.safetensors": b"12345678"})
    out = client(
        hub_server,
        """
        import pathlib
        from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
        old = sys.argv[1]
        api = HfApi()
        info = api.dataset_info("org/rows", files_metadata=True)
        out["info"] = [info.sha, info.id, info.private, info.card_data.license, info.tags]
        out["lfs"] = [[s.rfilename, s.size] for s in info.siblings if s.lfs]
        out["shas"] = [api.dataset_info("org/rows", revision=r).sha for r in (old, "v1")]
        out["model"] = api.model_info("org/empty").sha
        out["files"] = [api.list_repo_files("org/rows", repo_type="dataset", revision=r) for r in (old, "main")]
        tree = api.list_repo_tree("org/rows", repo_type="dataset", expand=True)
        out["tree"] = {e.path: e.last_commit.oid for e in tree}
        out["below"] = [e.path for e in api.list_repo_tree("org/empty", "sub", recursive=True)]
        found = api.get_paths_info("org/rows", ["a", "notes é.txt", "none"], repo_type="dataset")
        out["paths"] = [[e.path, type(e).__name__] for e in found]
        out["commits"] = [c.commit_id for c in api.list_repo_commits("org/rows", repo_type="dataset")]
        at = lambda name, rev=None: hf_hub_download("org/rows", name, repo_type="dataset", revision=rev)
        out["main"] = pathlib.Path(at("notes é.txt")).read_text()
        out["same"] = pathlib.Path(at("a/1.parquet", old)).read_bytes() == pathlib.Path(at("a/1.parquet")).read_bytes()
        out["links"] = pathlib.Path(at("a/1.parquet")).resolve().name
        out["snapshot"] = sorted(p.name for p in pathlib.Path(snapshot_download("org/empty")).iterdir())
        out["errors"] = [
            error(at, "none.txt"), error(at, "notes é.txt", old), error(at, "README.md", "none"),
            error(api.model_info, "org/none"), error(api.dataset_info, "org/empty"), error(at, "a"),
            error(hf_hub_download, "org/none", "config.json"), error(list, api.list_repo_tree("org/empty", "none")),
        ]
        with HfFileSystem().open("datasets/org/rows/a/1.parquet", block_size=16) as file:
            size = file.seek(0, 2)
            file.seek(-4, 2)
            out["magic"] = [size, file.read().decode()]
        """,
        old,
    )
    data = parquet([1, 2])
    lfs = hub_server.repos["dataset", "org/rows"].find(new).file_entry("a/1.parquet")["lfs"]
    assert out["info"] == [new, "org/rows", False, "mit", ["tiny", "license:mit"]]
    assert out["lfs"] == [["a/1.parquet", len(data)]]
    assert (out["shas"], out["model"]) == ([old, old], model)
    assert out["files"] == [["README.md", "a/1.parquet"], ["README.md", "a/1.parquet", "b/rows.jsonl", "notes é.txt"]]
    assert out["tree"] == {"README.md": old, "a": old, "b": new, "notes é.txt": new}
    assert out["below"] == ["sub/w.safetensors"]
    assert out["paths"] == [["a", "RepoFolder"], ["notes é.txt", "RepoFile"]]
    assert out["commits"] == [new, old]
    assert (out["main"], out["same"], out["links"]) == ("new", True, lfs["oid"])
    assert out["snapshot"] == ["config.json", "sub"]
    missing, unknown = ["RemoteEntryNotFoundError", 404], ["RepositoryNotFoundError", 401]
    revision = ["RevisionNotFoundError", 404]
    assert out["errors"] == [missing, missing, revision, unknown, unknown, missing, unknown, missing]
    assert out["magic"] == [len(data), "PAR1"]
    assert ("HEAD", "/datasets/org/rows/resolve/main/a/1.parquet") in hub_server.requests


def test_access(hub_server: HubServer) -> None:
    hub_server.create_repo("model", "org/secret", {"config.json": b"{}"}, private=True)
    hub_server.accounts["hf_stranger"] = Account("stranger")
    hub_server.accounts["hf_narrow"] = Account("owner", {"org"}, "fineGrained")
    out = client(
        hub_server,
        """
        from huggingface_hub import HfApi, hf_hub_download
        owner = sys.argv[1]
        out["private"] = HfApi(token=owner).model_info("org/secret").private
        out["file"] = open(hf_hub_download("org/secret", "config.json", token=owner)).read()
        who = HfApi(token=owner).whoami()
        out["who"] = [who["name"], [org["name"] for org in who["orgs"]]]
        tokens = (False, "hf_wrong", "hf_stranger", "hf_narrow")
        out["errors"] = [error(HfApi(token=token).model_info, "org/secret") for token in tokens]
        out["login"] = error(HfApi(token="hf_wrong").whoami)
        """,
        hub_server.token,
    )
    assert (out["private"], out["file"], out["who"]) == (True, "{}", ["owner", ["org"]])
    hidden = "RepositoryNotFoundError"
    assert out["errors"] == [[hidden, 401], ["HfHubHTTPError", 401], [hidden, 404], ["HfHubHTTPError", 403]]
    assert out["login"] == ["HfHubHTTPError", 401]


def test_load_dataset(hub_server: HubServer) -> None:
    plain = hub_server.create_repo("dataset", "org/plain", {"data/train-0.parquet": parquet([1, 2])})
    hub_server.commit("dataset", "org/plain", {"data/train-0.parquet": parquet([9])})
    files = {"README.md": ROW_CARD, "a/1.parquet": parquet([4]), "b/1.parquet": parquet([5])}
    rows = hub_server.create_repo("dataset", "org/rows", files)
    hub_server.create_repo("dataset", "org/hidden", {"train.jsonl": b'{"x": 6}\n'}, private=True)
    out = client(
        hub_server,
        """
        from datasets import get_dataset_config_names, load_dataset
        plain, rows, token = sys.argv[1:]
        # Before any load: what a cached dataset's name later fails on is silently answered from the cache.
        out["errors"] = [
            error(load_dataset, "org/none"), error(load_dataset, "org/plain", revision="none"),
            error(load_dataset, "org/hidden"),
        ]
        for streaming in (False, True):
            xs = lambda *args, **kwargs: [r["x"] for r in load_dataset(*args, streaming=streaming, **kwargs)]
            out[f"{streaming}"] = [
                xs("org/plain", split="train"),
                xs("org/plain", split="train", revision=plain),
                xs("org/rows", split="train", revision=rows),
                xs("org/rows", "second", split="test", revision=rows),
                xs("org/hidden", split="train", token=token),
            ]
        out["configs"] = get_dataset_config_names("org/rows", revision=rows)
        """,
        plain,
        rows,
        hub_server.token,
    )
    assert out["False"] == out["True"] == [[9], [1, 2], [4], [5], [6]]
    assert out["configs"] == ["first", "second"]
    assert [name for name, _ in out["errors"]] == ["DatasetNotFoundError"] * 3


def test_push(hub_server: HubServer) -> None:
    out = client(
        hub_server,
        """
        import pathlib, tempfile
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
        api, repo = HfApi(), {"repo_id": "owner/rows", "repo_type": "dataset"}
        out["url"] = api.create_repo(**repo, private=True).repo_id
        out["again"] = [api.create_repo(**repo, exist_ok=True).repo_id, error(api.create_repo, **repo)]
        out["names"] = [error(api.create_repo, "other/rows"), error(api.create_repo, "-"), api.create_repo("m").repo_id]
        out["files"] = api.list_repo_files(**repo)
        first = api.upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", **repo, commit_description="why")
        big = CommitOperationAdd("data/big.parquet", b"big" * 1000)
        api.preupload_lfs_files(additions=[big], **repo)
        folder = pathlib.Path(tempfile.mkdtemp())
        for name, data in {"b.txt": "b", "c.bin": "c", "skip.tmp": "s", "empty.bin": ""}.items():
            (folder / name).write_text(data)
        add, delete, copy = CommitOperationAdd, CommitOperationDelete, CommitOperationCopy
        operations = [big, add("é/x.txt", b"x"), delete("a.txt"), add("same.bin", b"big" * 1000)]
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
    assert out["names"] == [["HfHubHTTPError", 403], ["BadRequestError", 400], "owner/m"]
    one, two, three, four = repo.commits[1:]
    assert out["oids"] == [one.sha, two.sha]
    assert set(two.files) == {".gitattributes", "data/big.parquet", "same.bin", "é/x.txt"}
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
    # What the client asks first is checked again when it commits.
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
    # The client sends reads, uploads and what comes before a commit again by itself, but never a commit.
    faults.add("POST", "/preupload/", 429, retry_after=0)
    faults.add("POST", "objects/batch$", 503)
    faults.add("PUT", put, "drop", after=1)
    faults.add("PUT", put, "lost")
    faults.add("GET", "/resolve/", "cut")
    faults.add("POST", commit, 500)
    faults.add("POST", commit, 429, retry_after=7)
    faults.add("POST", commit, "drop")
    faults.add("POST", commit, "lost")
    faults.add("POST", commit, "cut")
    faults.add("POST", commit, 409)
    faults.add("POST", commit, "conflict", files={"a.txt": b"theirs"})
    assert len(faults.pending) == 12
    out = client(
        hub_server,
        """
        from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
        api, repo = HfApi(), {"repo_id": "org/rows", "repo_type": "dataset"}
        out["file"] = open(hf_hub_download("org/rows", "a.txt", repo_type="dataset")).read()
        files = [CommitOperationAdd(f"{name}.bin", name.encode()) for name in "xy"]
        api.preupload_lfs_files(additions=files, num_threads=1, **repo)
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
    assert not faults.pending
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
    # A lost upload is sent again, a dropped one never arrived.
    assert hub_server.uploads == {hashlib.sha256(b"x").hexdigest(): 2, hashlib.sha256(b"y").hexdigest(): 1}
    statuses = [status for method, path, status in hub_server.answers if path.endswith("/commit/main")]
    assert statuses == [500, 429, 0, 0, 200, 409, 412, 200, 200]


def test_killed_client(hub_server: HubServer) -> None:
    """A hook sees each request first, may kill its client and may keep it from being carried out."""
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
    repo_files = {f"{index}.bin": bytes([index]) * 1000 for index in range(8)}
    hub_server.create_repo("dataset", "org/rows", {})
    code = """
        import concurrent.futures, time
        from huggingface_hub import CommitOperationAdd, HfApi
        def push(index):
            added = [CommitOperationAdd(f"{index}.bin", bytes([index]) * 1000)]
            HfApi().create_commit("org/rows", added, commit_message=f"{index}", repo_type="dataset")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(push, range(8)))
    """
    client(hub_server, code, HF_TOKEN=hub_server.token)
    commits = hub_server.repos["dataset", "org/rows"].commits
    assert commits[-1].files == repo_files and len(commits) == 9
    assert set(hub_server.uploads.values()) == {1} and len(hub_server.uploads) == 8


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A random Llama and a byte-level BPE tokenizer, written by hand: importing torch here would cost seconds."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path / "tiny"
    folder.mkdir()
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["hello hub, hello world"] * 4, vocab_size=270, special_tokens=["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    vocab, hidden = tokenizer.get_vocab_size(), 8
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": hidden,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    square = [f"layers.0.self_attn.{name}_proj" for name in "qkvo"]
    square += [f"layers.0.mlp.{name}_proj" for name in ("gate", "up", "down")]
    norms = ["norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"]
    shapes = {**dict.fromkeys(square, (hidden, hidden)), **dict.fromkeys(norms, (hidden,))}
    shapes["embed_tokens"] = (vocab, hidden)
    rng = np.random.default_rng(0)
    weights = {f"model.{name}.weight": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def test_from_pretrained(hub_server: HubServer, tiny_model: Path) -> None:
    sha = hub_server.create_repo("model", "org/tiny", tiny_model)
    hub_server.commit("model", "org/tiny", {"model.safetensors": b"broken", "tokenizer.json": None})
    out = client(
        hub_server,
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        sha = sys.argv[1]
        tokenizer = AutoTokenizer.from_pretrained("org/tiny", revision=sha)
        model, report = AutoModelForCausalLM.from_pretrained(
            "org/tiny", revision=sha, use_safetensors=True, output_loading_info=True
        )
        batch = tokenizer("hello world", return_tensors="pt")
        out["shape"] = list(model(**batch).logits.shape)
        out["text"] = tokenizer.decode(batch["input_ids"][0])
        out["vocab"] = len(tokenizer)
        out["missing"] = sorted(report["missing_keys"])
        out["broken"] = error(AutoModelForCausalLM.from_pretrained, "org/tiny", use_safetensors=True)
        """,
        sha,
    )
    assert out["text"] == "hello world"
    assert out["missing"] == []
    assert out["shape"][0] == 1 and out["shape"][2] == out["vocab"]
    assert out["broken"] is not None
