"""Preview and result of a push."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outlook:
    """What a push would do.

    Attributes:
        creates: Parts that do not exist yet: `repository`, `branch`, `pull request`.
        private: Whether the repository is, or would be, private.
        num_files_sent: Number of files that are missing or differ.
        num_bytes_sent: Bytes of these files.
        num_files_skipped: Number of files that are already there.
        deleted: Paths of files that would be deleted.
    """

    creates: tuple[str, ...]
    private: bool
    num_files_sent: int
    num_bytes_sent: int
    num_files_skipped: int
    deleted: tuple[str, ...]


@dataclass(frozen=True)
class Pushed:
    """The result of a push.

    Attributes:
        url: URL of the repository, or of its branch.
        revision: Branch, or reference of the pull request; None for the default branch.
        commit: Current commit of the repository.
        private: Whether the repository is private.
        num_files_sent: Number of files committed by this push.
        num_bytes_sent: Bytes of these files.
        num_files_skipped: Number of files that were already there.
        pull_request: URL of the pull request; None if there is none.
    """

    url: str
    revision: str | None
    commit: str
    private: bool
    num_files_sent: int
    num_bytes_sent: int
    num_files_skipped: int
    pull_request: str | None
