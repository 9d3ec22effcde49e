"""Routes that create and change repositories: settings, branches, tags, LFS objects and commits."""

from __future__ import annotations

import base64
import json
import re
import secrets
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tests.hub.cards import card_problems
from tests.hub.repos import GIT_ATTRIBUTES, LFS_SIZE, Blob, Commit, Repo, goes_to_lfs
from tests.hub.spaces import begin_space
from tests.hub.wire import HubError, Request, Response, route

if TYPE_CHECKING:
    from tests.hub_server import HubServer

MISSING_OBJECT = "Your push was rejected because an LFS pointer pointed to a file that does not exist. Offending file: "


def _named(server: HubServer, request: Request) -> tuple[str, str]:
    """Return the type and the id of the repository in a body; its namespace must belong to the writer."""
    account, body = server.writer(request), request.json()
    namespace = body.get("organization") or account.name
    repo_type = body.get("type") or "model"
    if not account.belongs_to(namespace):
        raise HubError(403, f'You don\'t have the rights to create a {repo_type} under the namespace "{namespace}"')
    if repo_type not in ("model", "dataset", "space"):
        raise HubError(400, f"Invalid repository type: {repo_type}")
    return repo_type, f"{namespace}/{body['name']}"


def _is_private(body: dict[str, Any], default: bool) -> bool:
    """Return the requested visibility; older clients send `private`, newer ones `visibility`."""
    if "visibility" in body:
        return body["visibility"] == "private"
    return bool(body.get("private", default))


@route("POST", "/api/repos/create")
def _create(server: HubServer, request: Request) -> Any:
    repo_type, repo_id = _named(server, request)
    repo = Repo(repo_type, repo_id, _is_private(request.json(), False))
    url = {"url": f"{server.endpoint}/{repo.path}"}
    if (repo_type, repo_id) in server.repos:
        raise HubError(409, f"You already created this {repo_type} repo", body=url)
    files = {".gitattributes": GIT_ATTRIBUTES}
    if repo_type == "space":
        files |= begin_space(repo, request.json())
    server.repos[repo_type, repo_id] = repo
    repo.commit(files, message="initial commit")
    return {**url, "name": repo_id, "private": repo.private}


@route("DELETE", "/api/repos/delete")
def _delete(server: HubServer, request: Request) -> Any:
    if server.repos.pop(_named(server, request), None) is None:
        raise HubError(404, "Repository not found", "RepoNotFound")
    return Response(b"OK", content_type="text/plain; charset=utf-8")


@route("PUT", "/api/{kind}/{repo}/settings")
def _settings(server: HubServer, request: Request) -> Any:
    repo = server.writable(request, "main")
    repo.private = _is_private(request.json(), repo.private)
    return {"private": repo.private}


@route("POST", "/api/{kind}/{repo}/branch/{rev}")
def _create_branch(server: HubServer, request: Request) -> Any:
    repo, branch = server.writable(request, "main"), request.args["rev"]
    if branch.startswith("refs/"):
        raise HubError(400, "Invalid reference for a branch")
    if branch in repo.branches:
        raise HubError(409, "Reference already exists")
    repo.branches[branch] = repo.find(request.json().get("startingPoint", "main")).sha
    return {}


@route("DELETE", "/api/{kind}/{repo}/branch/{rev}")
def _delete_branch(server: HubServer, request: Request) -> Any:
    repo, branch = server.writable(request, "main"), request.args["rev"]
    if branch == "main" or branch.startswith("refs/"):
        raise HubError(403, "Forbidden: this branch cannot be deleted")
    if repo.branches.pop(branch, None) is None:
        raise HubError(404, "Reference does not exist", "RevisionNotFound")
    return {}


@route("POST", "/api/{kind}/{repo}/tag/{rev}")
def _create_tag(server: HubServer, request: Request) -> Any:
    repo, tag = server.writable(request, "main"), request.json()["tag"]
    if tag in repo.tags:
        raise HubError(409, "Tag reference exists already")
    repo.tags[tag] = repo.find(request.args["rev"]).sha
    return {}


@route("DELETE", "/api/{kind}/{repo}/tag/{rev}")
def _delete_tag(server: HubServer, request: Request) -> Any:
    if server.writable(request, "main").tags.pop(request.args["rev"], None) is None:
        raise HubError(404, "Tag not found", "RevisionNotFound")
    return {}


@route("POST", "/api/validate-yaml")
def _validate_yaml(server: HubServer, request: Request) -> Any:
    body = request.json()
    problems = card_problems(body["content"], body.get("repoType", "model"))
    errors, warnings = ([{"message": text} for text in texts] for texts in problems)
    return Response(json.dumps({"errors": errors, "warnings": warnings}).encode(), 400 if errors else 200)


@route("POST", "/api/{kind}/{repo}/preupload/{rev}")
def _preupload(server: HubServer, request: Request) -> Any:
    rev, body = request.args["rev"], request.json()
    repo = server.writable(request, None if request.flag("create_pr") else rev)
    files = repo.find(rev).files
    attributes = files.get(".gitattributes", GIT_ATTRIBUTES)
    ignored = body.get("gitIgnore", files.get(".gitignore", b"").decode()).splitlines()
    patterns = [line.strip().rstrip("/") for line in ignored if line.strip() and not line.startswith("#")]
    answers = []
    for file in body["files"]:
        path, blob = file["path"], files.get(file["path"])
        parts = [path, *PurePosixPath(path).parts]
        answer = {"path": path, "uploadMode": "lfs" if goes_to_lfs(path, file["size"], attributes) else "regular"}
        answer["shouldIgnore"] = any(fnmatchcase(part, pattern) for part in parts for pattern in patterns)
        if blob is not None:
            answer["oid"] = blob.sha256 if blob.lfs else blob.oid
        answers.append(answer)
    return {"files": answers, "commitOid": repo.find(rev).sha}


@route("POST", r"/(?:{kind}/)?{repo}\.git/info/lfs/objects/batch")
def _lfs_batch(server: HubServer, request: Request) -> Any:
    body = request.json()
    repo = server.writable(request, body.get("ref", {}).get("name"))
    answers = []
    for wanted in body["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        answer: dict[str, Any] = {"oid": oid, "size": size}
        if not re.fullmatch("[0-9a-f]{64}", oid) or oid in repo.objects and len(repo.objects[oid]) != size:
            answer["error"] = {"code": 422, "message": "Invalid oid or size"}
        elif oid not in repo.objects:
            # As on the Hub, the upload itself goes to a URL that needs no token.
            grant = secrets.token_hex(8)
            server.grants[grant] = repo, oid, size
            upload = {"href": f"{server.endpoint}/lfs/{oid}/{grant}"}
            verify = {"href": f"{server.endpoint}{request.path.removesuffix('batch')}verify"}
            answer["actions"] = {"upload": upload, "verify": verify}
        answers.append(answer)
    return {"transfer": "basic", "objects": answers}


@route("PUT", "/lfs/{sha}/{grant}")
def _lfs_put(server: HubServer, request: Request) -> Any:
    if request.args["grant"] not in server.grants:
        raise HubError(403, "Forbidden")
    repo, oid, size = server.grants[request.args["grant"]]
    blob = Blob.of(request.body, lfs=True)
    if (blob.sha256, len(blob)) != (oid, size):
        raise HubError(400, "The content does not have the announced SHA-256 and size")
    repo.objects[oid] = blob
    server.uploads[oid] += 1
    return Response()


@route("POST", r"/(?:{kind}/)?{repo}\.git/info/lfs/objects/verify")
def _lfs_verify(server: HubServer, request: Request) -> Any:
    body = request.json()
    if len(server.visible(request).objects.get(body["oid"], b"")) != body["size"]:
        raise HubError(404, "LFS object not found")
    return {}


@route("POST", "/api/{kind}/{repo}/commit/{rev}")
def _commit(server: HubServer, request: Request) -> Any:
    branch, as_pull = request.args["rev"], request.flag("create_pr")
    repo = server.writable(request, None if as_pull else branch)
    author = server.writer(request).name
    header, *operations = _lines(request.body)
    head, message = repo.head(branch), header["value"]
    if not head.sha.startswith(message.get("parentCommit", "")):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = _applied(repo, head, operations)
    _check_card(repo, head, files)
    answer = {"success": True, "hookOutput": ""}
    title, description = message["summary"], message.get("description", "")
    if as_pull:
        pull = repo.discuss(title, author, target=branch, fork=head)
        branch = pull.ref
        answer["pullRequestUrl"] = f"{server.endpoint}/{repo.path}/discussions/{pull.num}"
    sha = repo.advance(branch, files, title, description, author).sha
    return {**answer, "commitOid": sha, "commitUrl": f"{server.endpoint}/{repo.path}/commit/{sha}"}


def _lines(body: bytes) -> list[dict[str, Any]]:
    """Return the lines of a commit; the first is its header."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line]
    except ValueError as error:
        raise HubError(400, f"Invalid line: {error}") from error
    if not lines or lines[0].get("key") != "header" or not lines[0]["value"].get("summary"):
        raise HubError(400, "A commit begins with a header that has a summary")
    return lines


def _applied(repo: Repo, head: Commit, operations: list[dict[str, Any]]) -> dict[str, Blob]:
    """Return the files of a commit after some operations, applied in order."""
    files = dict(head.files)
    for key, value in ((line["key"], line["value"]) for line in operations):
        path = value["path"]
        if key == "file":
            content = value["content"]
            data = base64.b64decode(content) if value.get("encoding") == "base64" else content.encode()
            if len(data) >= LFS_SIZE:
                raise HubError(400, f"Your push was rejected because it contains files larger than 10 MiB: {path}")
            files[path] = Blob.of(data, lfs=False)
        elif key == "lfsFile":
            blob = repo.objects.get(value["oid"])
            if blob is None or value.get("size", len(blob)) != len(blob):
                raise HubError(400, MISSING_OBJECT + path)
            files[path] = blob
        elif key in ("deletedFile", "deletedFolder"):
            folder = path.rstrip("/") + "/"
            gone = [name for name in files if (name == path if key == "deletedFile" else name.startswith(folder))]
            if not gone:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            for name in gone:
                del files[name]
        else:
            raise HubError(400, f"Unknown operation {key}")
    return files


def _check_card(repo: Repo, head: Commit, files: dict[str, Blob]) -> None:
    """Refuse a new README that the Hub could not read."""
    readme = files.get("README.md")
    if readme is not None and readme != head.files.get("README.md"):
        errors, _ = card_problems(readme.decode(errors="replace"), repo.type)
        if errors:
            raise HubError(400, "Your push was rejected due to invalid metadata in README.md: " + "; ".join(errors))
