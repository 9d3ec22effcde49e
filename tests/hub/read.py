"""Read-only routes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from tests.hub.repos import sha1
from tests.hub.wire import HubError, Request, Response, route

if TYPE_CHECKING:
    from tests.hub_server import HubServer

TAG_KEYS = ("license", "language", "task_categories", "size_categories", "base_model")


@route("GET", "/api/whoami-v2")
def _whoami(server: HubServer, request: Request) -> Any:
    account = request.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": name} for name in sorted(account.orgs)]
    auth = {"type": "access_token", "accessToken": {"displayName": "local", "role": account.role}}
    return {"type": "user", "name": account.name, "fullname": account.name, "orgs": orgs, "auth": auth}


@route("GET", "/api/{kind}/{repo}")
@route("GET", "/api/{kind}/{repo}/revision/{rev}")
def _info(server: HubServer, request: Request) -> Any:
    repo = server.visible(request)
    commit = repo.find(request.args.get("rev", "main"))
    card = commit.card()
    tags = [str(tag) for tag in card.get("tags") or []]
    for key in TAG_KEYS:
        values = card.get(key) or []
        tags += [f"{key}:{value}" for value in (values if isinstance(values, list) else [values])]
    info: dict[str, Any] = {"id": repo.id, "sha": commit.sha, "private": repo.private, "tags": tags, "cardData": card}
    info |= {"_id": sha1(f"{repo.type}/{repo.id}")[:24], "author": repo.namespace, "modelId": repo.id}
    info |= {"gated": "auto" if repo.gated else False, "disabled": False, "downloads": 0, "likes": 0}
    info |= {"createdAt": repo.commits[0].date, "lastModified": commit.date}
    info["siblings"] = [commit.sibling(path, request.flag("blobs")) for path in commit.files]
    if repo.type == "model":
        info |= {name: card[name] for name in ("library_name", "pipeline_tag") if name in card}
    wanted = request.query.get("expand", [])
    return {name: value for name, value in info.items() if not wanted or name in ("_id", "id", *wanted)}


@route("GET", "/api/{kind}/{repo}/auth-check")
def _may_read(server: HubServer, request: Request) -> Any:
    return {"id": server.visible(request).id}


@route("GET", "/api/{kind}/{repo}/auth-check/write")
def _may_write(server: HubServer, request: Request) -> Any:
    return {"id": server.writable(request, "main").id}


@route("GET", "/api/{kind}/{repo}/refs")
def _refs(server: HubServer, request: Request) -> Any:
    repo = server.visible(request)
    refs: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for name, sha in repo.branches.items():
        if name.startswith("refs/pr/"):
            refs["pullRequests"].append({"name": name.split("/")[-1], "ref": name, "targetCommit": sha})
        else:
            refs["branches"].append({"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha})
    refs["tags"] = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha} for name, sha in repo.tags.items()]
    if not request.flag("include_prs"):
        del refs["pullRequests"]
    return refs


@route("GET", "/api/{kind}/{repo}/tree/{rev}(?:/{path})?")
def _tree(server: HubServer, request: Request) -> Any:
    commit = server.visible(request).find(request.args["rev"])
    top = request.args["path"].strip("/")
    folders = commit.folders
    if top and top not in folders:
        raise HubError(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": commit.sha})
    prefix = f"{top}/" if top else ""
    below = [path for path in sorted(folders | set(commit.files)) if path.startswith(prefix)]
    shown = [path for path in below if request.flag("recursive") or "/" not in path[len(prefix) :]]
    start = int(request.value("cursor", "0"))
    stop = start + server.page_size
    entries = [commit.entry(path, request.flag("expand")) for path in shown[start:stop]]
    if stop >= len(shown):
        return entries
    query = urlencode({**request.query, "cursor": stop}, doseq=True)
    link = f'<{server.endpoint}{request.path}?{query}>; rel="next"'
    return Response.of_json(entries, Link=link)


@route("POST", "/api/{kind}/{repo}/paths-info/{rev}")
def _paths_info(server: HubServer, request: Request) -> Any:
    commit = server.visible(request).find(request.args["rev"])
    request.query |= parse_qs(request.body.decode())
    paths = [path.strip("/") for path in request.query.get("paths", [])]
    return [commit.entry(path, request.flag("expand")) for path in paths if commit.oid(path)]


@route("GET", "/api/{kind}/{repo}/commits/{rev}")
def _commits(server: HubServer, request: Request) -> Any:
    return [
        {
            "id": commit.sha,
            "title": commit.message,
            "message": commit.description,
            "date": commit.date,
            "authors": [{"user": commit.author}],
        }
        for commit in server.visible(request).find(request.args["rev"]).history()
    ]


@route("GET", "/(?:{kind}/)?{repo}/resolve/{rev}/{path}")
def _resolve(server: HubServer, request: Request) -> Response:
    commit = server.visible(request).find(request.args["rev"])
    data = commit.files.get(request.args["path"])
    if data is None:
        raise HubError(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": commit.sha})
    headers = {"ETag": f'"{data.oid}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if data.lfs:
        # Sent without a redirect: the clients follow one to the same host, and would then miss these headers.
        headers |= {"X-Linked-Etag": f'"{data.sha256}"', "X-Linked-Size": str(len(data))}
    return ranged(data, headers, request)


def ranged(data: bytes, headers: dict[str, str], request: Request) -> Response:
    """Return content, or the requested range of it."""
    response = Response(data, 200, headers, "application/octet-stream")
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if span and any(span.groups()):
        first, last = span.groups()
        start = int(first) if first else max(len(data) - int(last), 0)
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        if start >= stop:
            return Response(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        response.body, response.status = data[start:stop], 206
    return response
