"""Routes of storage buckets.

The client writes to a bucket only by Xet. Its Rust library can, for tests, send contents to a local folder instead of
a server; each upload goes to a new folder, and contents are read from there.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.hub.read import ranged
from tests.hub.wire import HubError, Request, Response, route

if TYPE_CHECKING:
    from tests.hub_server import HubServer

DATE = "2025-01-01T00:00:00.000Z"


@route("GET", "/api/buckets/{repo}")
def _info(server: HubServer, request: Request) -> Any:
    files = _visible(server, request)
    sizes = {"size": sum(map(len, files.values())), "totalFiles": len(files)}
    return {"id": request.args["repo"], "private": True, "createdAt": DATE, **sizes}


@route("GET", "/api/buckets/{repo}/xet-write-token")
def _token(server: HubServer, request: Request) -> Any:
    _visible(server, request)
    server.writer(request)
    uploads = server.hf_home / "xet-uploads"
    folder = uploads / str(len(list(uploads.glob("*"))))
    folder.mkdir(parents=True)
    return {"casUrl": f"local://{folder}", "accessToken": "local", "exp": int(time.time()) + 3600}


@route("POST", "/api/buckets/{repo}/batch")
def _batch(server: HubServer, request: Request) -> Any:
    files = _visible(server, request)
    server.writer(request)
    for line in request.body.splitlines():
        operation = json.loads(line)
        if operation["type"] == "addFile":
            files[operation["path"]] = _content(server, operation["xetHash"])
        else:
            files.pop(operation["path"], None)
    return {"success": True, "failed": []}


@route("GET", "/api/buckets/{repo}/tree(?:/{path})?")
def _tree(server: HubServer, request: Request) -> Any:
    """List a folder; as on the Hub, the prefix is compared as a string, and may end within the name of a folder."""
    files = _visible(server, request)
    prefix = request.args["path"]
    found: dict[str, Any] = {}
    for path in sorted(files):
        if path.startswith(prefix):
            rest = path[len(prefix) :].removeprefix("/")
            folder = path[: len(path) - len(rest)] + rest.partition("/")[0]
            if "/" in rest and not request.flag("recursive"):
                found[folder] = {"type": "directory", "path": folder, "uploadedAt": DATE}
            else:
                found[path] = {"type": "file", "path": path, "size": len(files[path]), "xetHash": "0" * 64}
    return list(found.values())


@route("GET", "/buckets/{repo}/resolve/{path}")
def _resolve(server: HubServer, request: Request) -> Response:
    content = _visible(server, request).get(request.args["path"])
    if content is None:
        raise HubError(404, "Entry not found", "EntryNotFound")
    return ranged(content, {"Accept-Ranges": "bytes"}, request)


def _visible(server: HubServer, request: Request) -> dict[str, bytes]:
    """Return the files of a bucket by path."""
    if request.account is None:
        raise HubError(401, "Invalid username or password.", "RepoNotFound")
    bucket = request.args["repo"]
    if bucket not in server.buckets or not request.account.belongs_to(bucket.partition("/")[0]):
        raise HubError(404, "Bucket not found", "RepoNotFound")
    return server.buckets[bucket]


def _content(server: HubServer, xet_hash: str) -> bytes:
    """Return a content from the newest upload that contained it."""
    if not xet_hash.strip("0"):
        return b""
    from hf_xet import XetFileInfo, XetObjectNotFoundError, XetSession

    uploads = sorted((server.hf_home / "xet-uploads").iterdir(), key=lambda folder: -int(folder.name))
    for folder in uploads:
        with TemporaryDirectory() as scratch:  # the client still has the database of its folder open
            shutil.copytree(folder, f"{scratch}/xet")
            target = Path(scratch, "content")
            try:
                with XetSession().new_file_download_group(endpoint=f"local://{scratch}/xet") as group:
                    group.start_download_file(XetFileInfo(xet_hash, None), str(target))
                return target.read_bytes()
            except XetObjectNotFoundError:
                continue
    raise HubError(400, f"nobody sent {xet_hash}")
