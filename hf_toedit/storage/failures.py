"""Errors of remote storage: which are transient, and messages without secrets."""

from __future__ import annotations

import errno
import os
import re

from hf_toedit.errors import RunError
from hf_toedit.retries import Failure, is_passing

_FINAL = (
    PermissionError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    NotImplementedError,
    ValueError,
    TypeError,
)
_FINAL_CODES = {errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def judged(error: BaseException) -> Failure | None:
    """Classify an error; None for our own errors."""
    if isinstance(error, RunError):
        return None
    if isinstance(error, FileNotFoundError):
        return Failure(404, "", is_passing=False)
    status = status_of(error)
    if status is not None:
        return Failure(status, "", is_passing(status))
    final = isinstance(error, _FINAL) or "Credential" in type(error).__name__
    final = final or getattr(error, "errno", None) in _FINAL_CODES
    return Failure(_status_of_s3(error), type(error).__name__, is_passing=not final)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, if there is one."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _status_of_s3(error: BaseException) -> int | None:
    """Return the HTTP status of an S3 error; its library classifies transient errors by type, not by status."""
    response = getattr(error.__cause__, "response", None)
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None


def plain(error: Exception) -> str:
    """Format an error on one line of bounded length, without URL queries and secrets from the environment."""
    words = re.sub(r"\?[^\s\"']+", "", " ".join(str(error).split()))
    for name, value in os.environ.items():
        if re.search(r"SECRET|TOKEN|PASSWORD|KEY$", name) and len(value) >= 8:
            words = words.replace(value, "***")
    return words[:300].rstrip(".")
