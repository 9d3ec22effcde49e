"""What a push would do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outlook:
    """What a push would do.

    Attributes:
        creates: what is not there yet: `repository`, `branch`, `pull request`.
        private: whether the repository is, or would be.
        num_files_sent: files that are not there, or otherwise.
        num_bytes_sent: in them.
        num_files_skipped: files that are there already.
        deleted: paths of files that would be deleted.
    """

    creates: tuple[str, ...]
    private: bool
    num_files_sent: int
    num_bytes_sent: int
    num_files_skipped: int
    deleted: tuple[str, ...]


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        url: of the repository, or of its branch.
        revision: branch, or reference of the pull request; None is the default branch.
        commit: that the repository stands at now.
        private: whether it is.
        num_files_sent: committed by this push.
        num_bytes_sent: in them.
        num_files_skipped: that were there already.
        pull_request: its page; None where there is none.
    """

    url: str
    revision: str | None
    commit: str
    private: bool
    num_files_sent: int
    num_bytes_sent: int
    num_files_skipped: int
    pull_request: str | None
