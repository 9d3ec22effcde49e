"""Routes of discussions and pull requests."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from tests.hub.repos import Discussion, Repo, sha1
from tests.hub.wire import HubError, Request, route

if TYPE_CHECKING:
    from tests.hub_server import HubServer

CLOSED = ("closed", "merged")


def _event(repo: Repo, kind: str, author: str, data: dict[str, Any], date: str = "") -> dict[str, Any]:
    date = date or repo.now()
    name = sha1(repr((repo.id, kind, author, data, date)))[:24]
    return {"id": name, "type": kind, "createdAt": date, "author": {"name": author}, "data": data}


def _comment(repo: Repo, author: str, text: str) -> dict[str, Any]:
    return _event(repo, "comment", author, {"edited": False, "hidden": False, "latest": {"raw": text}})


def _changed(discussion: Discussion, repo: Repo) -> tuple[dict[str, Any], list[str]]:
    """Return the files that a pull request changes since its fork, and the conflicting paths of its target."""
    ours, fork, theirs = repo.head(discussion.ref).files, discussion.fork.files, repo.head(discussion.target).files
    paths = [path for path in sorted({*ours, *fork}) if ours.get(path) != fork.get(path)]
    conflicts = [path for path in paths if theirs.get(path) not in (ours.get(path), fork.get(path))]
    return {path: ours.get(path) for path in paths}, conflicts


def _summary(repo: Repo, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": discussion.date,
        "status": discussion.status,
        "isPullRequest": discussion.fork is not None,
        "repo": {"name": repo.id, "type": repo.type},
    }


@route("GET", "/api/{kind}/{repo}/discussions")
def _list(server: HubServer, request: Request) -> Any:
    repo = server.visible(request)
    kind, status, author = (request.value(name, "all") for name in ("type", "status", "author"))
    found = [
        _summary(repo, discussion)
        for discussion in reversed(repo.discussions)
        if kind in ("all", "pull_request" if discussion.fork else "discussion")
        and status in ("all", "closed" if discussion.status in CLOSED else "open")
        and author in ("all", discussion.author)
    ]
    start = int(request.value("p", "0")) * server.page_size
    return {"discussions": found[start : start + server.page_size], "count": len(found), "start": start}


@route("POST", "/api/{kind}/{repo}/discussions")
def _open(server: HubServer, request: Request) -> Any:
    repo, body, author = server.writable(request, None), request.json(), server.writer(request).name
    pull = {"status": "draft", "fork": repo.head("main")} if body.get("pullRequest") else {}
    discussion = repo.discuss(body["title"], author, **pull)
    discussion.events.append(_comment(repo, author, body["description"]))
    return {"num": discussion.num, "pullRequest": discussion.fork is not None}


@route("GET", "/api/{kind}/{repo}/discussions/{num}")
def _details(server: HubServer, request: Request) -> Any:
    repo = server.visible(request)
    discussion = repo.discussion(int(request.args["num"]))
    details = {**_summary(repo, discussion), "events": discussion.events}
    if discussion.fork:
        new = takewhile(lambda commit: commit is not discussion.fork, repo.head(discussion.ref).history())
        details["events"] = discussion.events + [
            _event(repo, "commit", commit.author, {"subject": commit.message, "oid": commit.sha}, commit.date)
            for commit in reversed(list(new))
        ]
        changed, conflicts = _changed(discussion, repo)
        details["filesWithConflicts"] = conflicts if discussion.status not in CLOSED else []
        details["changes"] = {"base": f"refs/heads/{discussion.target}", "mergeCommitId": discussion.merge_sha}
        # The names of the changed files replace the diff, which no client parses.
        details["diff"] = "".join(f"diff --git a/{path} b/{path}\n" for path in changed)
    return details


@route("POST", "/api/{kind}/{repo}/discussions/{num}/status")
def _status(server: HubServer, request: Request) -> Any:
    num, body = int(request.args["num"]), request.json()
    repo = server.writable(request, f"refs/pr/{num}")
    discussion, author = repo.discussion(num), server.writer(request).name
    if body["status"] not in ("open", "closed") or discussion.status in ("merged", body["status"]):
        raise HubError(400, f"The status cannot change from {discussion.status} to {body['status']}")
    discussion.status = body["status"]
    if "comment" in body:
        discussion.events.append(_comment(repo, author, body["comment"]))
    discussion.events.append(_event(repo, "status-change", author, {"status": discussion.status}))
    return {"newStatus": discussion.events[-1]}


@route("POST", "/api/{kind}/{repo}/discussions/{num}/merge")
def _merge(server: HubServer, request: Request) -> Any:
    repo, author = server.writable(request, "main"), server.writer(request).name
    pull = repo.discussion(int(request.args["num"]))
    if pull.fork is None or pull.status != "open":
        raise HubError(400, "Only an open pull request can be merged")
    changed, conflicts = _changed(pull, repo)
    if conflicts or not changed:
        raise HubError(
            409, f"The pull request cannot be merged; files with conflicts: {', '.join(conflicts) or 'none'}"
        )
    merged = {**repo.head(pull.target).files, **changed}
    files = {path: blob for path, blob in merged.items() if blob is not None}
    pull.merge_sha = repo.advance(pull.target, files, f"{pull.title} (#{pull.num})", author=author).sha
    pull.status = "merged"
    pull.events.append(_event(repo, "status-change", author, {"status": "merged"}))
    return {"newStatus": pull.events[-1]}
