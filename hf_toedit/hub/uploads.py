"""The state of a repository, and files to upload."""

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
        size: Size in bytes.
        oid: SHA-256 of its content if it is in large file storage, otherwise its git SHA-1.
    """

    size: int
    oid: str


@dataclass(frozen=True)
class BranchHead:
    """The current state of a repository.

    Attributes:
        sha: The newest commit.
        files: Its files, by path.
        private: Whether the repository is private.
        is_branch: Whether the commit is of the requested branch; if not, that branch will start here.
    """

    sha: str
    files: dict[str, RemoteFile]
    private: bool
    is_branch: bool = True


@dataclass(frozen=True)
class Upload:
    """A file to upload.

    Attributes:
        path: Path in the repository.
        content: The file with the content, or the bytes.
        sha256: SHA-256 of the content, if it was recorded when the content was made.
        num_bytes: Size of the content, likewise; a file that is in the repository then need not exist here.
    """

    path: str
    content: AnyPath | bytes
    sha256: str | None = None
    num_bytes: int | None = None

    @property
    def size(self) -> int:
        """Size in bytes."""
        if self.num_bytes is not None:
            return self.num_bytes
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def is_in(self, head: BranchHead | None) -> bool:
        """Whether the repository already contains the file, with the same content."""
        there = head.files.get(self.path) if head else None
        if there is None or there.size != self.size:
            return False
        if len(there.oid) == hashlib.sha256().digest_size * 2:
            return there.oid == (self.sha256 or self._digest(hashlib.sha256()))
        return there.oid == self._digest(hashlib.sha1(b"blob %d\0" % self.size))

    @cached_property
    def operation(self) -> CommitOperationAdd:
        """Operation that adds the file to a commit; it remembers that it was uploaded, and is not uploaded again.

        A file in remote storage is downloaded for it, until it was uploaded or is not needed any more.

        Raises:
            RunError: The file has changed since it was written.
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
        """Upload a large file ahead of its commit; large file storage skips contents that it already has."""
        api.preupload_lfs_files(
            repo_id, [self.operation], repo_type=repo_type, revision=revision, free_memory=self._is_remote
        )
        if self._is_remote and self.operation.path_or_fileobj == b"":  # it was uploaded, and not left to the commit
            self._fetched.close()

    @property
    def _is_remote(self) -> bool:
        return isinstance(self.content, RemotePath)

    @cached_property
    def _fetched(self) -> Any:
        """Temporary local copy of a file in remote storage."""
        # The name lets `RunFolder.sweep` find the copy if this process is killed.
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
"""An operation of a commit: a file to add, or the path of a file to delete."""
