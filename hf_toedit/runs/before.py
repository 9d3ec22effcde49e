"""Source fingerprints of plans of hf-toedit 0.1.0, which pinned files by location and modification time.

Such plans can still be continued: their stored facts are compared with the same facts of today. New plans contain none
of this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import fsspec

from hf_toedit.config import URL_LIST, SourceConfig, content_hash
from hf_toedit.runs.plan import Plan
from hf_toedit.sources.resolve import hub_dataset, resolve


def is_of_before(plan: Plan) -> bool:
    """Whether a plan pins files by something other than their content; lists of URLs are still pinned as in 0.1.0."""
    name = plan.source.source
    by_content = any(isinstance(file.stamp, str) for file in plan.files)
    return not (by_content or name.startswith(URL_LIST) or hub_dataset(name))


def revision_before(config: SourceConfig) -> str:
    """Return the fingerprint that hf-toedit 0.1.0 would give a source.

    Raises:
        SourceError: The source cannot be found.
    """
    found = resolve(config)
    if found.root is not None:
        times = {
            split: [(file.path, *_times(os.path.join(found.root, file.path))) for file in files]
            for split, files in found.splits.items()
        }
        return content_hash(times)[:40]
    urls = [file.path for files in found.splits.values() for file in files]
    infos = {url: system.info(path) for url in urls for system, path in [fsspec.url_to_fs(url)]}
    return content_hash([(url, info["size"], _stamp(info)) for url, info in infos.items()])[:40]


def _times(place: str) -> tuple[int, int]:
    status = os.stat(place)
    return status.st_size, status.st_mtime_ns


def _stamp(info: Mapping[str, Any]) -> str:
    return next((str(info[key]) for key in ("ETag", "etag", "xet_hash", "mtime", "LastModified") if info.get(key)), "")
