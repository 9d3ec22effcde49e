"""Routes for Spaces only: available hardware, and the hardware of a Space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.hub.cards import SDKS
from tests.hub.jobs import HARDWARE
from tests.hub.repos import Repo
from tests.hub.wire import HubError, Request, route

if TYPE_CHECKING:
    from tests.hub_server import HubServer


def begin_space(repo: Repo, body: dict[str, Any]) -> dict[str, bytes]:
    """Set up a Space as requested, and return the files that the Hub itself puts into it."""
    if body.get("sdk") not in SDKS:
        raise HubError(400, "Invalid sdk")
    repo.hardware = _flavor(body.get("hardware") or repo.hardware)
    title = repo.id.split("/")[1]
    front = f"title: {title}\nemoji: 🐢\ncolorFrom: red\ncolorTo: blue\nsdk: {body['sdk']}\nsdk_version: 5.0.0\n"
    return {"README.md": f"---\n{front}app_file: app.py\npinned: false\n---\n\nA new Space.\n".encode()}


@route("GET", "/api/spaces/hardware")
def _hardware(server: HubServer, request: Request) -> Any:
    return HARDWARE


@route("GET", "/api/{kind}/{repo}/runtime")
def _runtime(server: HubServer, request: Request) -> Any:
    return _told(server.visible(request))


@route("POST", "/api/{kind}/{repo}/hardware")
def _request_hardware(server: HubServer, request: Request) -> Any:
    repo = server.writable(request, "main")
    repo.hardware = _flavor(request.json()["flavor"])
    return _told(repo)


def _flavor(name: str) -> str:
    if name not in {each["name"] for each in HARDWARE}:
        raise HubError(400, f"Invalid hardware {name}")
    return name


def _told(repo: Repo) -> dict[str, Any]:
    stage = "BUILDING" if "app.py" in repo.head("main").files else "NO_APP_FILE"
    return {"stage": stage, "hardware": {"current": None, "requested": repo.hardware}, "gcTimeout": None}
