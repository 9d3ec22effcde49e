"""Requests and responses, authentication, and the routing table.

A route is a function decorated with `route`. It gets the server and a `Request`, and returns JSON-able data or a
`Response`, or raises `HubError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.hub_server import HubServer


class HubError(Exception):
    """An error response, with the headers from which the clients choose their exception class.

    Args:
        status: The status of the answer.
        message: Message that the clients show.
        code: The Hub's name for the kind of error.
        headers: Additional headers.
        body: Additional members of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        present = {name: value for name, value in (("X-Error-Message", message), ("X-Error-Code", code)) if value}
        content = json.dumps({"error": message, **(body or {})}).encode()
        self.response = Response(content, status, {**present, **(headers or {})})


class Dropped(Exception):  # noqa: N818
    """Closes the connection without an answer."""


@dataclass
class Response:
    """A response; a `cut` one announces its full length and ends in the middle of its body."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    cut: bool = False

    @classmethod
    def of_json(cls, data: Any, **headers: str) -> Response:
        """Return data as a JSON response."""
        return cls(json.dumps(data, default=str).encode(), headers=headers)


@dataclass
class Account:
    """The holder of a token, a member of some namespaces; only the role `write` may write.

    The role `read` sees the private repos of its namespaces, `fineGrained` does not.
    """

    name: str
    orgs: set[str] = field(default_factory=set)
    role: str = "write"

    def belongs_to(self, namespace: str) -> bool:
        """Whether a namespace is the account's own or that of one of its organizations."""
        return namespace == self.name or namespace in self.orgs


@dataclass
class Request:
    """A decoded request; `args` contains the named parts of the matched route."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: bytes
    account: Account | None = None
    args: dict[str, str] = field(default_factory=dict)

    def value(self, name: str, default: str = "") -> str:
        """Return the first value of a name in the query string or the form."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Whether the query string or the form enables a flag."""
        return self.value(name).lower() in ("true", "1")

    def json(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        try:
            found = json.loads(self.body or b"{}") or {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise HubError(400, "Invalid JSON body")
        return found


Handler = Callable[["HubServer", Request], Any]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
PARTS = {
    "kind": "models|datasets|spaces",
    "repo": "(?!hardware$)[^/]+(?:/[^/]+)?",
    "rev": "refs/[^/]+/[^/]+|[^/]+",
    "path": ".*",
    "num": "[0-9]+",
    "sha": "[0-9a-f]+",
    "grant": "[0-9a-f]+",
    "namespace": "[^/]+",
    "job": "[0-9a-f]+",
}


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Register a handler for the paths of a template such as `/api/{kind}/{repo}`; GET also answers HEAD."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{PARTS[part[1]]})", template))

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, handler))
        return handler

    return register
