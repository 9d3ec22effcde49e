"""What stands in a repository, and what is to stand there."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

from hf_toedit.errors import RunError
from hf_toedit.storage.remote import AnyPath, RemotePath
from hf_toedit.storage.temporary import temporary_name


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        size: bytes.
        oid: SHA-256 of its content where it lies in large file storage, else the SHA-1 that git gives it.
    """

    size: int
    oid: str


@dataclass(frozen=True)
class BranchHead:
    """What stands in a repository now.

    Attributes:
        sha: the newest commit.
        files: of it, by path.
        private: whether strangers may not read the repository.
        is_branch: whether it is of the branch that was asked for; if not, that branch is to begin here.
    """

    sha: str
    files: dict[str, RemoteFile]
    private: bool
    is_branch: bool = True


@dataclass(frozen=True)
class Upload:
    """A file to be sent.

    Attributes:
        path: in the repository.
        content: the file that holds it, or the bytes themselves.
        sha256: of the content, where it was written down when it was made.
        num_bytes: of the content, likewise; a file that is there already need not lie here as well then.
    """

    path: str
    content: AnyPath | bytes
    sha256: str | None = None
    num_bytes: int | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        if self.num_bytes is not None:
            return self.num_bytes
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def is_in(self, head: BranchHead | None) -> bool:
        """Whether it stands in the repository already, with the same content."""
        there = head.files.get(self.path) if head else None
        if there is None or there.size != self.size:
            return False
        if len(there.oid) == hashlib.sha256().digest_size * 2:
            return there.oid == (self.sha256 or self._digest(hashlib.sha256()))
        return there.oid == self._digest(hashlib.sha1(b"blob %d\0" % self.size))

    @cached_property
    def operation(self) -> CommitOperationAdd:
        """What adds it to a commit; once it was uploaded it knows so, and is not uploaded again.

        A file in storage is brought here for it, until it was uploaded or is not needed any more.

        Raises:
            RunError: it is not any more what was written.
        """
        content = self._fetched.name if isinstance(self.content, RemotePath) else self.content
        operation = CommitOperationAdd(self.path, content)
        if self.sha256 not in (None, operation.upload_info.sha256.hex()):
            raise RunError(
                f"{self.content!s} is damaged: its bytes are not those that were written. Delete it, and finish "
                f"the run again: hf-toedit run."
            )
        return operation

    def send(self, api: HfApi, repo_id: str, repo_type: str, revision: str | None) -> None:
        """Send a large file ahead of its commit; large file storage passes over what it has already."""
        api.preupload_lfs_files(
            repo_id, [self.operation], repo_type=repo_type, revision=revision, free_memory=self._is_remote
        )
        if self._is_remote and self.operation.path_or_fileobj == b"":  # it was sent, and not left to the commit
            self._fetched.close()

    @property
    def _is_remote(self) -> bool:
        return isinstance(self.content, RemotePath)

    @cached_property
    def _fetched(self) -> Any:
        """A passing copy of a file in storage."""
        # By a name by which `RunFolder.sweep` finds it, should this process be killed or stopped.
        copy = tempfile.NamedTemporaryFile(suffix=temporary_name("push"))
        assert isinstance(self.content, RemotePath)
        self.content.fetch(Path(copy.name))
        return copy

    def _digest(self, digest: Any) -> str:
        if isinstance(self.content, bytes):
            digest.update(self.content)
        else:
            with self.content.open("rb") as stream:
                while block := stream.read(2**20):
                    digest.update(block)
        return digest.hexdigest()


Operation = Upload | str
"""Of a commit: a file to add, or the path of one to delete."""
