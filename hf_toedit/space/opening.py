"""Opening of runs by name: access control, pinning to a commit, and a bound on open runs. No Gradio."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import quote

from cachetools import LRUCache
from huggingface_hub import constants

from hf_toedit.errors import RunError, SourceError
from hf_toedit.hub import pinned_sha, public_dataset
from hf_toedit.publish.pull import HubRun
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder, is_run
from hf_toedit.space.rows import RunRows
from hf_toedit.space.settings import SpaceSettings
from hf_toedit.stats import EditStats
from hf_toedit.storage.layout import PLAN
from hf_toedit.tasks.edit import edit_of

MAX_RECORDS = 256
"""Maximum number of shard records fetched for a visitor, for a run that is not on this machine."""

_MAX_PLAN_BYTES = 64 * 2**20
_KEPT = 8
_NAME = re.compile(
    r"(?:hf://datasets/|(?:https?://)?huggingface\.co/datasets/)?(?P<repo_id>[\w-][\w.-]*/[\w.-]+)"
    r"(?:(?:@|/tree/)(?P<revision>refs/[^/]+/[^/]+|[^/]+))?(?:/(?P<prefix>.+?))?/?"
)


class Address(NamedTuple):
    """The address of a run on the Hub.

    Attributes:
        repo_id: `org/name`.
        revision: Branch, tag or commit; None for the default branch.
        prefix: Folder of the repository; empty for its root.
    """

    repo_id: str
    revision: str | None
    prefix: str

    @classmethod
    def of(cls, name: str) -> Address | None:
        """Parse a name, ignoring local files; return None if it is not a Hub address."""
        found = _NAME.fullmatch(name)
        return found and cls(found["repo_id"], found["revision"], found["prefix"] or "")

    @classmethod
    def named(cls, name: str, local: bool) -> Address:
        """Parse a name that must be a Hub address.

        Args:
            name: As people type it.
            local: Whether a run folder was possible too, for the message.

        Raises:
            SourceError: It is not an address.
        """
        address = cls.of(name)
        if address is None:
            known = "a run folder, or a dataset on the Hub" if local else "a dataset on the Hub"
            raise SourceError(f"{name!r} cannot be opened. Name {known}, as org/name or org/name@revision.")
        return address

    def __str__(self) -> str:
        """Return the address as people type it."""
        revision, prefix = (f"@{self.revision}" if self.revision else ""), (f"/{self.prefix}" if self.prefix else "")
        return self.repo_id + revision + prefix


class OpenRun(NamedTuple):
    """An open run.

    Attributes:
        name: Opens the same run again: on the Hub, at the same commit.
        address: Its pinned address on the Hub; None if it is not there.
        plan: The run's plan.
        stats: Statistics of the finished shards of each generation, by name; None if there are too many to fetch.
        rows: The run's rows.
    """

    name: str
    address: Address | None
    plan: Plan
    stats: list[dict[str, EditStats]] | None
    rows: RunRows

    @property
    def link(self) -> str | None:
        """URL of its page on the Hub."""
        if self.address is None:
            return None
        repo_id, revision, prefix = self.address
        return f"{constants.ENDPOINT}/datasets/{repo_id}/tree/{revision}/{quote(prefix)}".rstrip("/")


class Runs:
    """Opens runs for all visitors, and keeps the most recent ones open; thread-safe."""

    def __init__(self, settings: SpaceSettings) -> None:
        """Start without open runs."""
        self._local = settings.local
        self._open: LRUCache[str, OpenRun] = LRUCache(_KEPT)
        self._lock = threading.Lock()
        source = Address.of(settings.source or "")
        self._own = {source} if source else set()
        """Addresses shown to every visitor, private or not, because the operator of this server named them."""

    def open(self, name: str, is_link: bool = False) -> OpenRun:
        """Open the current state of a run.

        Args:
            name: `org/name[@revision][/folder]` on the Hub, its page there or, if local runs are allowed, a run folder.
            is_link: Whether the name is from a link, which is untrusted: it must then be on the Hub.

        Raises:
            ToEditError: There is no such run, it is not public, or it cannot be read.
        """
        name = name.strip()
        if self._local and not is_link and name and is_run(name):
            return self._keep(_of_folder(name))
        address = Address.named(name, self._local)
        repo_id, revision, _ = address
        is_own = self._local or address in self._own
        sha = pinned_sha("dataset", repo_id, revision, SourceError) if is_own else public_dataset(repo_id, revision)
        pinned = address._replace(revision=sha)
        if is_own:
            self._own.add(pinned)
        return self._kept(str(pinned)) or self._keep(_of_hub(HubRun(*pinned), pinned))

    def get(self, name: str) -> OpenRun:
        """Return an open run by its own name; open it again if it was evicted.

        Raises:
            ToEditError: The run cannot be opened.
        """
        return self._kept(name) or self.open(name)

    def _kept(self, name: str) -> OpenRun | None:
        with self._lock:
            return self._open.get(name)

    def _keep(self, run: OpenRun) -> OpenRun:
        with self._lock:
            self._open[run.name] = run
        return run


def _of_folder(name: str) -> OpenRun:
    folder = RunFolder(name)
    plan = folder.plan()
    edit_of(plan)
    is_here = isinstance(folder.root, Path)
    is_shown = is_here or len(plan.shards) * len(plan.data_passes) <= MAX_RECORDS
    stats = _stats(plan, folder) if is_shown else None
    return OpenRun(name, None, plan, stats, RunRows(plan, folder, stats, is_here=is_here))


def _of_hub(on_hub: HubRun, address: Address) -> OpenRun:
    if (on_hub.size(PLAN.as_posix()) or 0) > _MAX_PLAN_BYTES:
        raise RunError(f"the plan of {address} is too large to be opened here. Fetch the run with `hf-toedit pull`.")
    with on_hub.records(MAX_RECORDS) as (plan, folder):
        edit_of(plan)
        is_shown = any(folder.stats_path(plan.passes[0], shard).exists() for shard in plan.shards)
        stats = _stats(plan, folder) if is_shown else None
    return OpenRun(str(address), address, plan, stats, RunRows(plan, folder, stats, is_here=False))


def _stats(plan: Plan, folder: RunFolder) -> list[dict[str, EditStats]]:
    """Return the statistics of the finished shards of each generation.

    Raises:
        RunError: They are not what this tool writes; data on the Hub is untrusted.
    """
    try:
        stats = [cast("dict[str, EditStats]", folder.all_stats(plan, pass_, plan.shards)) for pass_ in plan.data_passes]
        for parts in stats:
            EditStats.merged(parts.values()).summary()
    except (RunError, ValueError, ArithmeticError) as error:
        reason = str(error.__cause__ or error).rstrip(".")  # without the path, which is local to this machine
        raise RunError(f"the statistics of the run cannot be read: {reason}. Push or make them again.") from error
    return stats
