"""What is read from repositories: the commit that a name stands at, sizes of files, files, what a card says."""

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
from hf_toedit.hub.patience import asked, patiently, refusal, why
from hf_toedit.threads import in_threads

NO_ANSWER: tuple[type[Exception], ...] = (
    HTTP_ERROR,
    OfflineModeIsEnabled,
    LocalEntryNotFoundError,
)
"""Errors of a Hub that does not answer, or not well."""

_DOWNLOADS = 8
"""Files fetched at a time."""

_LOOK_S = 10.0
"""Without an answer, while somebody waits before a page."""

_WORDS = {"model": "prior", "dataset": "dataset"}


def pinned_sha(
    repo_type: str, repo_id: str, revision: str | None, error_type: type[ToEditError], what: str | None = None
) -> str:
    """The commit that a branch or tag of a repository stands at; without a Hub, the one in the local cache.

    Args:
        repo_type: `model` or `dataset`.
        repo_id: `org/name`.
        revision: branch, tag or commit; None is the default branch.
        error_type: raised where there is none.
        what: it is called in messages.

    Raises:
        ToEditError: of `error_type`: no such repository or revision, no access, or no connection.
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
    """The commit that a dataset repository stands at now, whatever is in the local cache.

    Args:
        repo_id: `org/name`.
        revision: branch, tag or commit; None is the default branch.

    Raises:
        HubError: there is none, or the Hub does not answer.
    """
    look = partial(HfApi().repo_info, repo_id, repo_type="dataset", revision=revision)
    return str(patiently(look, f"look at dataset {repo_id!r}").sha)


def is_out_of_reach(error: ToEditError) -> bool:
    """Whether something failed because the Hub did not answer; a repository that is not there is an answer."""
    cause = error.__cause__
    return isinstance(cause, NO_ANSWER) and not isinstance(cause, RepositoryNotFoundError | RevisionNotFoundError)


def public_dataset(repo_id: str, revision: str | None) -> str:
    """The commit that a branch or tag of a dataset stands at, as seen without a token.

    Args:
        repo_id: `org/name`.
        revision: branch, tag or commit; None is the default branch.

    Raises:
        SourceError: no such dataset or revision, not one for everybody, or no answer.
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
    """The commit that a model stands at, and bytes of its files by path, as seen without a token.

    Args:
        repo_id: `org/name`.

    Raises:
        PriorError: no such model, not one for everybody, or no answer.
    """
    try:
        info = HfApi().model_info(repo_id, files_metadata=True, token=False, timeout=_LOOK_S)
    except (HFValidationError, RepositoryNotFoundError) as error:  # of which a gated one is a kind
        raise PriorError(f"prior {repo_id!r} is not on the Hub, or is private. Check the name.") from error
    except NO_ANSWER as error:
        raise PriorError(f"cannot reach the Hub for prior {repo_id!r} ({why(error)}). Check the connection.") from error
    if info.private or info.gated:
        raise PriorError(f"prior {repo_id!r} is on the Hub, but private or gated. Name one that is public.")
    return str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()}


def file_sizes(repo_id: str, sha: str) -> dict[str, int]:
    """Bytes of every file of a dataset repository at a commit, by path, in one listing.

    Args:
        repo_id: `org/name`.
        sha: the commit.

    Raises:
        SourceError: the Hub does not answer.
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
    """Fetch files of a dataset repository; those that lie in the folder already are not fetched again.

    Args:
        repo_id: `org/name`.
        sha: the commit.
        paths: of the files.
        folder: where they come to lie, by the same paths.
        progress: called after each, from any thread.

    Raises:
        HubError: one cannot be fetched.
    """

    def fetch(path: str) -> None:
        get = partial(hf_hub_download, repo_id, path, repo_type="dataset", revision=sha, local_dir=folder)
        patiently(get, f"read {path} of dataset {repo_id!r}")
        if progress:
            progress()

    in_threads(fetch, paths, min(_DOWNLOADS, len(paths)))


def dataset_text(repo_id: str, path: str, sha: str) -> str:
    """A text file of a dataset repository at a commit.

    Args:
        repo_id: `org/name`.
        path: of the file in it.
        sha: the commit.

    Raises:
        SourceError: the Hub does not answer.
    """
    try:
        found = asked(partial(hf_hub_download, repo_id, path, repo_type="dataset", revision=sha))
    except NO_ANSWER as error:
        raise SourceError(
            f"cannot read {path!r} of dataset {repo_id!r} ({why(error)}). Check the connection."
        ) from error
    return Path(found).read_text(encoding="utf-8", errors="replace")


def model_files(repo_id: str, sha: str, patterns: Sequence[str]) -> Path:
    """A folder with some files of a model repository at a commit, from the cache where they are there.

    Args:
        repo_id: `org/name`.
        sha: The commit.
        patterns: Of the paths that are wanted, such as `*.json`.

    Raises:
        PriorError: The Hub does not answer.
    """
    try:
        return Path(asked(partial(snapshot_download, repo_id, revision=sha, allow_patterns=list(patterns))))
    except NO_ANSWER as error:
        raise PriorError(f"cannot read the files of model {repo_id!r} ({why(error)}). Check the connection.") from error


def card_metadata(repo_type: str, repo_id: str, sha: str) -> dict[str, Any]:
    """What the card of a repository says of itself in YAML; empty where it has none that can be read.

    Args:
        repo_type: `model` or `dataset`.
        repo_id: `org/name`.
        sha: the commit.
    """
    try:
        return metadata_of(
            Path(asked(partial(hf_hub_download, repo_id, "README.md", repo_type=repo_type, revision=sha)))
        )
    except NO_ANSWER:
        return {}


def metadata_of(card: Path) -> dict[str, Any]:
    """The YAML of a card that lies here; empty where there is none that can be read."""
    try:
        metadata = metadata_load(card)
    except (OSError, ValueError, YAMLError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _cached_sha(repo_type: str, repo_id: str, revision: str | None) -> str | None:
    """The commit of a repository in the local cache: the one asked for, else the one that came last."""
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
