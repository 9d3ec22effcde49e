"""Reading from repositories: commits, file sizes, files, and card metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, metadata_load, scan_cache_dir, snapshot_download
from huggingface_hub.errors import (
    CacheNotFound,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from yaml import YAMLError

from hf_toedit.client import HTTP_ERROR
from hf_toedit.errors import PriorError, SourceError, ToEditError
from hf_toedit.front_matter import check_bounded
from hf_toedit.hub.patience import asked, patiently, refusal, why
from hf_toedit.threads import in_threads

NO_ANSWER: tuple[type[Exception], ...] = (
    HTTP_ERROR,
    OfflineModeIsEnabled,
    LocalEntryNotFoundError,
)
"""Errors that mean that the Hub gave no valid answer."""

_DOWNLOADS = 8
"""Number of concurrent downloads."""

_LOOK_S = 10.0
"""Timeout in seconds while a user waits for a page."""

_WORDS = {"model": "prior", "dataset": "dataset"}


def pinned_sha(
    repo_type: str, repo_id: str, revision: str | None, error_type: type[ToEditError], what: str | None = None
) -> str:
    """Return the commit of a branch or tag; if the Hub is unreachable, the commit in the local cache.

    Args:
        repo_type: `model` or `dataset`.
        repo_id: Repository, `org/name`.
        revision: Branch, tag or commit; None means the default branch.
        error_type: Type of the error.
        what: Name of the repository's kind in messages.

    Raises:
        ToEditError: Of `error_type`: no such repository or revision, no access, or no connection.
    """
    named = f"{what or _WORDS[repo_type]} {repo_id!r}" + (f" at revision {revision!r}" if revision else "")

    def look() -> str:
        try:
            return str(HfApi().repo_info(repo_id, repo_type=repo_type, revision=revision).sha)
        except NO_ANSWER as error:
            is_answer = isinstance(error, RepositoryNotFoundError | RevisionNotFoundError)
            cached = None if is_answer or refusal(error, named) else _cached_sha(repo_type, repo_id, revision)
            if cached is None:
                raise
            return cached

    try:
        return asked(look)
    except HFValidationError as error:
        raise error_type(f"{named} is not a valid Hub name. Name a local path, or org/name.") from error
    except GatedRepoError as error:
        raise error_type(f"{named} is gated: accept its terms on the Hub, then log in with `hf auth login`.") from error
    except RevisionNotFoundError as error:
        raise error_type(f"{named} does not exist on the Hub: no such branch, tag or commit.") from error
    except RepositoryNotFoundError as error:
        raise error_type(
            f"unknown {named}: neither a local path nor a {repo_type} on the Hub. Check the name; "
            f"a private one needs `hf auth login`."
        ) from error
    except NO_ANSWER as error:
        if refused := refusal(error, f"look at {named}"):
            raise error_type(refused) from None
        raise error_type(
            f"cannot reach the Hub for {named}, and it is not in the local cache ({why(error)}). "
            f"Check the name and the connection, or name a local path."
        ) from error


def newest_sha(repo_id: str, revision: str | None) -> str:
    """Return the current commit of a dataset repository, regardless of the local cache.

    Args:
        repo_id: Repository, `org/name`.
        revision: Branch, tag or commit; None means the default branch.

    Raises:
        HubError: There is none, or the Hub does not answer.
    """
    look = partial(HfApi().repo_info, repo_id, repo_type="dataset", revision=revision)
    return str(patiently(look, f"look at dataset {repo_id!r}").sha)


def is_out_of_reach(error: ToEditError) -> bool:
    """Whether an operation failed because the Hub did not answer; a missing repository counts as an answer."""
    cause = error.__cause__
    return isinstance(cause, NO_ANSWER) and not isinstance(cause, RepositoryNotFoundError | RevisionNotFoundError)


def public_dataset(repo_id: str, revision: str | None) -> str:
    """Return the commit of a branch or tag of a dataset, as seen without a token.

    Args:
        repo_id: Repository, `org/name`.
        revision: Branch, tag or commit; None means the default branch.

    Raises:
        SourceError: There is no such dataset or revision, it is not public, or the Hub does not answer.
    """
    named = f"dataset {repo_id!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        info = HfApi().dataset_info(repo_id, revision=revision, token=False, timeout=_LOOK_S)
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise SourceError(f"{named} is not on the Hub, or is private. Check the name.") from error
    except NO_ANSWER as error:
        raise SourceError(f"cannot reach the Hub for {named} ({why(error)}). Try again later.") from error
    if info.private or info.gated:
        raise SourceError(f"{named} is on the Hub, but private or gated. Open it on your own machine.")
    return str(info.sha)


def public_model(repo_id: str) -> tuple[str, dict[str, int]]:
    """Return the commit of a model and the sizes of its files in bytes, by path, as seen without a token.

    Args:
        repo_id: Repository, `org/name`.

    Raises:
        PriorError: There is no such model, it is not public, or the Hub does not answer.
    """
    try:
        info = HfApi().model_info(repo_id, files_metadata=True, token=False, timeout=_LOOK_S)
    except (HFValidationError, RepositoryNotFoundError) as error:  # includes the error of gated repositories
        raise PriorError(f"prior {repo_id!r} is not on the Hub, or is private. Check the name.") from error
    except NO_ANSWER as error:
        raise PriorError(f"cannot reach the Hub for prior {repo_id!r} ({why(error)}). Check the connection.") from error
    if info.private or info.gated:
        raise PriorError(f"prior {repo_id!r} is on the Hub, but private or gated. Name one that is public.")
    return str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()}


def file_sizes(repo_id: str, sha: str) -> dict[str, int]:
    """Return the size in bytes of every file of a dataset repository at a commit, by path, from one listing.

    Args:
        repo_id: Repository, `org/name`.
        sha: The commit.

    Raises:
        SourceError: The Hub does not answer.
    """

    def look() -> dict[str, int]:
        listed = HfApi().list_repo_tree(repo_id, repo_type="dataset", revision=sha, recursive=True)
        return {entry.path: entry.size for entry in listed if isinstance(entry, RepoFile)}

    try:
        return asked(look)
    except NO_ANSWER as error:
        raise SourceError(
            f"cannot list the files of dataset {repo_id!r} ({why(error)}). Check the connection."
        ) from error


def download(
    repo_id: str, sha: str, paths: Sequence[str], folder: Path, progress: Callable[[], None] | None = None
) -> None:
    """Download files of a dataset repository; files that are already in the folder are not downloaded again.

    Args:
        repo_id: Repository, `org/name`.
        sha: The commit.
        paths: Paths of the files.
        folder: Folder to download to, with the same paths.
        progress: Callback; called after each file, from any thread.

    Raises:
        HubError: A file cannot be downloaded.
    """

    def fetch(path: str) -> None:
        get = partial(hf_hub_download, repo_id, path, repo_type="dataset", revision=sha, local_dir=folder)
        patiently(get, f"read {path} of dataset {repo_id!r}")
        if progress:
            progress()

    in_threads(fetch, paths, min(_DOWNLOADS, len(paths)))


def dataset_text(repo_id: str, path: str, sha: str) -> str:
    """Return a text file of a dataset repository at a commit.

    Args:
        repo_id: Repository, `org/name`.
        path: Path of the file in it.
        sha: The commit.

    Raises:
        SourceError: The Hub does not answer.
    """
    try:
        found = asked(partial(hf_hub_download, repo_id, path, repo_type="dataset", revision=sha))
    except NO_ANSWER as error:
        raise SourceError(
            f"cannot read {path!r} of dataset {repo_id!r} ({why(error)}). Check the connection."
        ) from error
    return Path(found).read_text(encoding="utf-8", errors="replace")


def model_files(repo_id: str, sha: str, patterns: Sequence[str]) -> Path:
    """Return a folder with some files of a model repository at a commit, from the cache if possible.

    Args:
        repo_id: Repository, `org/name`.
        sha: The commit.
        patterns: Patterns of the wanted paths, such as `*.json`.

    Raises:
        PriorError: The Hub does not answer.
    """
    try:
        return Path(asked(partial(snapshot_download, repo_id, revision=sha, allow_patterns=list(patterns))))
    except NO_ANSWER as error:
        raise PriorError(f"cannot read the files of model {repo_id!r} ({why(error)}). Check the connection.") from error


def card_metadata(repo_type: str, repo_id: str, sha: str) -> dict[str, Any]:
    """Return the YAML metadata of a repository's card; empty if there is no readable card.

    Args:
        repo_type: `model` or `dataset`.
        repo_id: Repository, `org/name`.
        sha: The commit.
    """
    try:
        return metadata_of(
            Path(asked(partial(hf_hub_download, repo_id, "README.md", repo_type=repo_type, revision=sha)))
        )
    except NO_ANSWER:
        return {}


def metadata_of(card: Path) -> dict[str, Any]:
    """Return the YAML metadata of a local card; empty if there is no readable card."""
    try:
        metadata = metadata_load(card)
        check_bounded(metadata)
    except (OSError, ValueError, YAMLError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _cached_sha(repo_type: str, repo_id: str, revision: str | None) -> str | None:
    """Return the commit of a repository in the local cache: the requested one, or else the newest."""
    try:
        return Path(snapshot_download(repo_id, repo_type=repo_type, revision=revision, local_files_only=True)).name
    except (LocalEntryNotFoundError, OSError, ValueError):
        if revision is not None:
            return None
    try:
        repos = [repo for repo in scan_cache_dir().repos if (repo.repo_type, repo.repo_id) == (repo_type, repo_id)]
    except CacheNotFound:
        return None
    commits = [commit for repo in repos for commit in repo.revisions]
    return max(commits, key=lambda commit: commit.last_modified).commit_hash if commits else None
