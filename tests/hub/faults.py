"""Faults that tests inject into the server, each at chosen requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from tests.hub.wire import Dropped, HubError, Request, Response

if TYPE_CHECKING:
    from tests.hub_server import HubServer

Kind = int | Literal["drop", "cut", "lost", "conflict"]


@dataclass
class Fault:
    """A fault of the next `times` requests of some kind, after `after` of them have passed."""

    method: str
    path: str
    kind: Kind
    times: int
    after: int
    retry_after: int | None
    files: Mapping[str, bytes | None] | None

    def matches(self, request: Request) -> bool:
        """Whether a request is of this kind."""
        return bool(re.fullmatch(self.method, request.method) and re.search(self.path, unquote(request.path)))

    def refuse(self) -> None:
        """Raise an error before the request is carried out, if the fault requires it."""
        if self.kind == "drop":
            raise Dropped
        if isinstance(self.kind, int):
            headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            raise HubError(self.kind, HTTPStatus(self.kind).phrase, headers=headers)

    def compete(self, server: HubServer, request: Request) -> None:
        """Add a commit of someone else to the branch of the request, if the fault requires it."""
        if self.kind == "conflict":
            repo = server.visible(request)
            files = self.files or {"competitor.txt": str(len(repo.commits)).encode()}
            repo.commit(files, request.args["rev"], "Commit of someone else")

    def spoil(self, response: Response) -> None:
        """Damage or drop the answer, if the fault requires it."""
        if self.kind == "lost":
            raise Dropped
        response.cut = self.kind == "cut"


@dataclass
class Faults:
    """The faults that have not been injected yet."""

    pending: list[Fault] = field(default_factory=list)

    def add(
        self,
        method: str,
        path: str,
        kind: Kind,
        times: int = 1,
        after: int = 0,
        retry_after: int | None = None,
        files: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Add a fault.

        Args:
            method: A regular expression for the whole method.
            path: A regular expression for a part of the path, percent-decoded and without the query string.
            kind: A status to answer instead of carrying the request out; `drop`, which closes the connection without
                carrying it out; `lost`, which closes it after carrying it out; `cut`, which closes it in the middle of
                the answer; or `conflict`, a commit of someone else on the branch just before.
            times: Number of affected requests.
            after: Number of matching requests that pass first.
            retry_after: Seconds for the header of that name; the clients wait one second more.
            files: Changes in the commit of a `conflict`; a separate file by default.
        """
        self.pending.append(Fault(method, path, kind, times, after, retry_after, files))

    def take(self, request: Request) -> Fault | None:
        """Return the first fault that is due at a request; all faults count the request."""
        due = None
        for fault in [fault for fault in self.pending if fault.matches(request)]:
            if fault.after:
                fault.after -= 1
            elif due is None:
                due = fault
                fault.times -= 1
        self.pending = [fault for fault in self.pending if fault.times]
        return due
