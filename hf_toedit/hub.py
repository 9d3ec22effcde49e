"""All traffic with the Hub that is ours; `datasets` and `transformers` do the rest at the commit pinned here."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_toedit.errors import ToEditError

_WORDS = {"model": "prior", "dataset": "dataset"}


def pinned_sha(repo_type: str, repo_id: str, revision: str | None, error_type: type[ToEditError]) -> str:
    """The commit that a branch or tag of a repository stands at; without a Hub, the one in the local cache.

    Args:
        repo_type: `model` or `dataset`.
        repo_id: `org/name`.
        revision: branch, tag or commit; None is the default branch.
        error_type: raised where there is none.

    Raises:
        ToEditError: of `error_type`: no such repository or revision, no access, or no connection.
    """
    named = f"{_WORDS[repo_type]} {repo_id!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        return str(HfApi().repo_info(repo_id, repo_type=repo_type, revision=revision).sha)
    except GatedRepoError as error:
        raise error_type(f"{named} is gated: accept its terms on the Hub, then log in with `hf auth login`.") from error
    except RevisionNotFoundError as error:
        raise error_type(f"{named} does not exist on the Hub: no such branch, tag or commit.") from error
    except RepositoryNotFoundError as error:
        raise error_type(
            f"unknown {named}: neither a path here nor a {repo_type} on the Hub. Check the name; "
            f"a private one needs `hf auth login`."
        ) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = error
    try:
        return Path(snapshot_download(repo_id, repo_type=repo_type, revision=revision, local_files_only=True)).name
    except (LocalEntryNotFoundError, OSError, ValueError) as error:
        raise error_type(
            f"cannot reach the Hub for {named}, and it is not in the local cache ({type(reason).__name__}). "
            f"Check the name and the connection, or name a local path."
        ) from error
