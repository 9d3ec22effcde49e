"""Repositories in memory: files, commits, branches, tags and discussions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.hub.cards import read_card
from tests.hub.wire import HubError

EPOCH = datetime(2024, 1, 1, tzinfo=timezone.utc)
LFS_SUFFIXES = {".arrow", ".bin", ".bz2", ".gz", ".npy", ".npz", ".parquet", ".pt", ".safetensors", ".xz", ".zip"}
LFS_SIZE = 10 * 1024 * 1024
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(LFS_SUFFIXES)).encode()


def sha1(text: str) -> str:
    """Return the SHA-1 of a text, in hexadecimal digits."""
    return hashlib.sha1(text.encode()).hexdigest()


def git_oid(data: bytes) -> str:
    """Return the git object id of a content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def goes_to_lfs(path: str, size: int, attributes: bytes) -> bool:
    """Whether the Hub stores a file in LFS, by its size and by the content of `.gitattributes`."""
    rules = (line.split() for line in attributes.decode(errors="replace").splitlines())
    patterns = [rule[0] for rule in rules if "filter=lfs" in rule[1:]]
    names = path, PurePosixPath(path).name
    return size >= LFS_SIZE or (size > 0 and any(fnmatchcase(names["/" not in each], each) for each in patterns))


class Blob(bytes):
    """The content of a file, with its hashes and whether it is stored in LFS."""

    lfs: bool

    @classmethod
    def of(cls, data: bytes, lfs: bool) -> Blob:
        """Return a content as it is stored."""
        blob = cls(data)
        blob.lfs = lfs
        return blob

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content, its LFS object id."""
        return hashlib.sha256(self).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """Content of the LFS pointer, which git stores for a content in LFS."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self)}\n".encode()

    @cached_property
    def oid(self) -> str:
        """Git object id of the stored content."""
        return git_oid(self.pointer if self.lfs else self)


@dataclass(frozen=True)
class Commit:
    """A full snapshot of the files, because tests compare states and never differences."""

    sha: str
    files: Mapping[str, Blob]
    message: str
    date: str
    parent: Commit | None = None
    description: str = ""
    author: str = "owner"

    def history(self) -> Iterator[Commit]:
        """Yield this commit and its ancestors, newest first."""
        commit: Commit | None = self
        while commit:
            yield commit
            commit = commit.parent

    @cached_property
    def folders(self) -> set[str]:
        """Paths of all folders."""
        parents = (str(folder) for path in self.files for folder in PurePosixPath(path).parents)
        return {folder for folder in parents if folder != "."}

    def below(self, folder: str) -> dict[str, Blob]:
        """Return the files in a folder and its subfolders."""
        return {path: blob for path, blob in self.files.items() if path.startswith(f"{folder}/")}

    def oid(self, path: str) -> str | None:
        """Return the identifier of a file or a folder by its content, or None if the path does not exist."""
        if path in self.files:
            return self.files[path].oid
        below = sorted((name, blob.oid) for name, blob in self.below(path).items())
        return sha1(repr(below)) if below else None

    def file_entry(self, path: str) -> dict[str, Any]:
        """Return a file as the tree routes show it; a file in LFS has the oid of its pointer."""
        blob = self.files[path]
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(blob), "oid": blob.oid}
        if blob.lfs:
            entry["lfs"] = {"oid": blob.sha256, "size": len(blob), "pointerSize": len(blob.pointer)}
        return entry

    def sibling(self, path: str, blobs: bool) -> dict[str, Any]:
        """Return a file as the repo routes show it, with other names for the same facts than in the tree."""
        if not blobs:
            return {"rfilename": path}
        entry = self.file_entry(path)
        lfs = {"lfs": {**entry["lfs"], "sha256": entry["lfs"]["oid"]}} if "lfs" in entry else {}
        return {"rfilename": path, "size": entry["size"], "blobId": entry["oid"], **lfs}

    def entry(self, path: str, expand: bool) -> dict[str, Any]:
        """Return a file or a folder as the tree routes show it, with its last commit when expanded."""
        is_file = path in self.files
        entry = self.file_entry(path) if is_file else {"type": "directory", "path": path, "size": 0}
        entry["oid"] = self.oid(path)
        if expand:
            last = list(takewhile(lambda commit: commit.oid(path) == entry["oid"], self.history()))[-1]
            entry["lastCommit"] = {"id": last.sha, "title": last.message, "date": last.date}
            if is_file:
                entry["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
        return entry

    def card(self) -> dict[str, Any]:
        """Return the YAML header of README.md; empty if it is missing or not a mapping."""
        try:
            card = read_card(self.files.get("README.md", b"").decode(errors="replace"))
        except yaml.YAMLError:
            return {}
        return card if isinstance(card, dict) else {}


@dataclass
class Discussion:
    """A discussion, or a pull request with a `fork`: the commit of its target from which it started."""

    num: int
    title: str
    author: str
    date: str
    status: str = "open"
    target: str = "main"
    fork: Commit | None = None
    merge_sha: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """Name of a pull request's branch."""
        return f"refs/pr/{self.num}"


@dataclass
class Repo:
    """A repository of a model, a dataset or a Space: its commits, oldest first, with branches and tags.

    `branches` also contains those of the pull requests, under `refs/pr/N`. `objects` maps SHA-256 to LFS objects:
    all uploaded ones, committed or not. `hardware` is the requested hardware of a Space.
    """

    type: str
    id: str
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Blob] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    hardware: str = "cpu-basic"

    @property
    def namespace(self) -> str:
        """The user or organization that owns the repository."""
        return self.id.split("/")[0]

    @property
    def path(self) -> str:
        """Path of the repository's page."""
        return self.id if self.type == "model" else f"{self.type}s/{self.id}"

    def now(self) -> str:
        """Return the time, which advances by a minute per commit, so that tests do not depend on a clock."""
        return (EPOCH + timedelta(minutes=len(self.commits))).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def commit(self, files: Mapping[str, bytes | None], branch: str = "main", message: str = "Update") -> Commit:
        """Commit files to a branch; None deletes a path."""
        before = self.find(self.branches[branch]).files if branch in self.branches else {}
        snapshot = {**before, **files}
        attributes = snapshot.get(".gitattributes") or GIT_ATTRIBUTES
        kept = {
            path: data if isinstance(data, Blob) else Blob.of(data, goes_to_lfs(path, len(data), attributes))
            for path, data in snapshot.items()
            if data is not None
        }
        return self.advance(branch, kept, message)

    def advance(
        self, branch: str, files: Mapping[str, Blob], message: str, description: str = "", author: str = "owner"
    ) -> Commit:
        """Move a branch to a new commit with exactly these files."""
        parent = self.find(self.branches[branch]) if branch in self.branches else None
        ordered = dict(sorted(files.items()))
        content = [(path, blob.oid) for path, blob in ordered.items()]
        sha = sha1(repr((self.type, self.id, len(self.commits), parent and parent.sha, message, content)))
        self.objects |= {blob.sha256: blob for blob in ordered.values() if blob.lfs}
        self.commits.append(Commit(sha, ordered, message, self.now(), parent, description, author))
        self.branches[branch] = sha
        return self.commits[-1]

    def find(self, revision: str) -> Commit:
        """Return the commit of a branch, a tag or a full sha."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        for commit in reversed(self.commits):
            if commit.sha == sha:
                return commit
        raise HubError(404, "Invalid rev id", "RevisionNotFound")

    def head(self, branch: str) -> Commit:
        """Return the newest commit of a branch; tags and shas are not found, because they are read-only."""
        return self.find(self.branches.get(branch, ""))

    def discussion(self, num: int) -> Discussion:
        """Return a discussion by its number."""
        if not 1 <= num <= len(self.discussions):
            raise HubError(404, "Discussion not found")
        return self.discussions[num - 1]

    def discuss(self, title: str, author: str, **kwargs: Any) -> Discussion:
        """Open a discussion, or a pull request if `fork` is given, with the next number."""
        discussion = Discussion(len(self.discussions) + 1, title, author, self.now(), **kwargs)
        self.discussions.append(discussion)
        if discussion.fork:
            self.branches[discussion.ref] = discussion.fork.sha
        return discussion
