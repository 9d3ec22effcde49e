"""Writing to a repository: its current files, uploads ahead of a commit, commits, and pull requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id

from hf_toedit.checked import checked
from hf_toedit.errors import HubError, UsageError
from hf_toedit.hub.patience import patiently
from hf_toedit.hub.uploads import BranchHead, Operation, RemoteFile, Upload
from hf_toedit.threads import in_threads

_LARGE = (".parquet", ".png")
"""Extensions of files that the Hub stores in large file storage."""

_UPLOADS = 4
"""Number of concurrent uploads."""

_T = TypeVar("_T")


class Repository:
    """A dataset or Space repository to write to.

    A commit is never repeated blindly: before every try, the current state of the repository is read, so that a commit
    whose answer was lost, or a commit of another process, is seen.
    """

    def __init__(self, repo_id: str, revision: str | None = None, repo_type: str = "dataset") -> None:
        """Store the name; no request is sent yet.

        Args:
            repo_id: Repository, `org/name`.
            revision: Branch; None means the default branch.
            repo_type: `dataset` or `space`.

        Raises:
            UsageError: The name is not valid.
        """
        try:
            validate_repo_id(checked(repo_id, str, "repository"))
        except HFValidationError as error:
            raise UsageError(f"{repo_id!r} is not the name of a repository. Name it as org/name.") from error
        if "/" not in repo_id:
            raise UsageError(f"repository {repo_id!r} lacks its owner. Name it as org/name.")
        self.id = repo_id
        self.revision = revision
        self.type = repo_type
        self._api = HfApi()
        self._head: BranchHead | None = None

    @property
    def url(self) -> str:
        """URL of its page."""
        page = f"{self._api.endpoint}/{self.type}s/{self.id}"
        return page if self.revision is None else f"{page}/tree/{self.revision}"

    def head(self) -> BranchHead | None:
        """Return the current state; None if the repository does not exist or is not visible.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        return self._call("look at", self._look)

    def forget(self) -> None:
        """Forget the cached listing, including uploads of this process; the next access lists the files again."""
        self._head = None

    def create(self, private: bool, space_sdk: str | None = None) -> None:
        """Create the repository and the branch, unless they exist.

        Args:
            private: Whether a new repository is private.
            space_sdk: SDK of a Space.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        head = self.head()
        if head is None:
            make = partial(self._api.create_repo, self.id, repo_type=self.type, private=private, space_sdk=space_sdk)
            self._call("create", lambda: make(exist_ok=True))
        if self.revision is not None and not (head and head.is_branch):
            branch = self.revision
            self._call(
                f"create branch {branch!r} of",
                lambda: self._api.create_branch(self.id, repo_type=self.type, branch=branch, exist_ok=True),
            )

    def file(self, head: BranchHead, path: str) -> Path | None:
        """Download a file; None if it does not exist.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        if path not in head.files:
            return None
        fetch = partial(hf_hub_download, self.id, path, repo_type=self.type, revision=head.sha)
        return Path(self._call(f"read {path} of", fetch))

    def upload(self, uploads: Sequence[Upload]) -> None:
        """Upload the contents of large files ahead of their commit.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        large = [upload for upload in uploads if upload.path.endswith(_LARGE)]
        self._call("write to", lambda: self._upload(large, None))

    def commit(
        self,
        message: str,
        change: Callable[[BranchHead], Sequence[Operation]],
        sent: Callable[[Upload], None] | None = None,
    ) -> BranchHead:
        """Make a commit on top of the current state.

        Args:
            message: Commit message.
            change: Returns the operations for a given state; empty if nothing remains to be done. It is called again
                after each failed try.
            sent: Callback; called with each large file that was uploaded ahead of the commit, from any thread.

        Returns:
            The final state.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """

        def look_and_commit() -> BranchHead:
            head = self._look()
            if head is None:
                raise HubError(f"{self.type} {self.id!r} is not on the Hub any more, or this token has no access.")
            operations = change(head)
            if not operations:
                return head
            uploads = [operation for operation in operations if isinstance(operation, Upload)]
            deleted = {operation for operation in operations if isinstance(operation, str)}
            self._upload([upload for upload in uploads if upload.path.endswith(_LARGE)], sent)
            made = self._api.create_commit(
                self.id,
                [*(upload.operation for upload in uploads), *(CommitOperationDelete(path) for path in sorted(deleted))],
                commit_message=message,
                repo_type=self.type,
                revision=self.revision,
                parent_commit=head.sha,
            )
            self._head = replace(head, sha=made.oid, files=_changed(head.files, uploads, deleted))
            return self._head

        return patiently(look_and_commit, self._described("write to"), takes_turns=True)

    def find_pull_request(self, title: str) -> int | None:
        """Find a draft or open pull request by title; if there is one, later commits go to it.

        Returns:
            Its number; None if there is none.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        number = self._call("list the pull requests of", lambda: self._pull_request(title))
        if number is not None:
            self.revision = f"refs/pr/{number}"
        return number

    def open_pull_request(self, title: str, description: str) -> int:
        """Find a draft or open pull request by title, or open one as a draft; later commits go to it.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """

        def find_or_open() -> int:
            number = self._pull_request(title)
            if number is not None:
                return number
            return self._api.create_pull_request(self.id, title, description=description, repo_type=self.type).num

        number = self._call("open a pull request in", find_or_open)
        self.revision = f"refs/pr/{number}"
        return number

    def publish(self, number: int) -> None:
        """Mark a draft pull request as ready.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """

        def publish() -> None:
            details = self._api.get_discussion_details(self.id, number, repo_type=self.type)
            if details.status == "draft":
                self._api.change_discussion_status(self.id, number, "open", repo_type=self.type)

        self._call("open the pull request of", publish)

    def pull_request_url(self, number: int) -> str:
        """Return the URL of a pull request."""
        return f"{self._api.endpoint}/{self.type}s/{self.id}/discussions/{number}"

    def _call(self, what: str, call: Callable[[], _T]) -> _T:
        return patiently(call, self._described(what))

    def _described(self, what: str) -> str:
        return f"{what} {self.type} {self.id!r}"

    def _pull_request(self, title: str) -> int | None:
        for discussion in self._api.get_repo_discussions(self.id, repo_type=self.type):
            if discussion.is_pull_request and discussion.title == title and discussion.status in ("draft", "open"):
                return discussion.num
        return None

    def _look(self) -> BranchHead | None:
        """Return the current state; files are listed again only if the commit has changed."""
        is_branch = True
        try:
            try:
                info = self._api.repo_info(self.id, repo_type=self.type, revision=self.revision)
            except RevisionNotFoundError:
                is_branch = False
                info = self._api.repo_info(self.id, repo_type=self.type)
        except RepositoryNotFoundError:
            return None
        sha = str(info.sha)
        if self._head is None or (self._head.sha, self._head.is_branch) != (sha, is_branch):
            listed = self._api.list_repo_tree(self.id, repo_type=self.type, revision=sha, recursive=True)
            files = {
                entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
                for entry in listed
                if isinstance(entry, RepoFile)
            }
            self._head = BranchHead(sha, files, bool(info.private), is_branch)
        return self._head

    def _upload(self, uploads: Sequence[Upload], sent: Callable[[Upload], None] | None) -> None:
        """Upload contents ahead of their commit."""

        def send(upload: Upload) -> None:
            upload.send(self._api, self.id, self.type, self.revision)
            if sent:
                sent(upload)

        in_threads(send, uploads, min(_UPLOADS, len(uploads)))


def _changed(files: dict[str, RemoteFile], uploads: Sequence[Upload], deleted: set[str]) -> dict[str, RemoteFile]:
    """Return the files after a commit."""
    sent = {upload.path: RemoteFile(upload.size, upload.operation.upload_info.sha256.hex()) for upload in uploads}
    return {path: file for path, file in {**files, **sent}.items() if path not in deleted}
