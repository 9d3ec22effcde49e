"""Push of a `compare` or `probe` report to a dataset repository, to a folder that `datasets` ignores."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from hf_toedit.analysis.report import HTML, JSON, MARKDOWN
from hf_toedit.cards.reports import with_reports
from hf_toedit.errors import RunError
from hf_toedit.hub.repository import Repository
from hf_toedit.hub.uploads import BranchHead, Operation, Upload
from hf_toedit.publish.pull import CARD
from hf_toedit.publish.push import card_text
from hf_toedit.storage.layout import REPORTS

_PICTURE = re.compile(r"\((assets/[a-z0-9-]+\.png)\)")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def push_report(folder: str | Path, repo: str, kind: Literal["compare", "probe"] = "compare") -> str:
    """Add a report to a dataset repository, in one commit, and link it in the card if there is one.

    A report of the same name is replaced.

    Args:
        folder: Folder of the report, as the command made it; its name becomes the name of the report.
        repo: Repository, `org/name`; created as private if it does not exist.
        kind: The command.

    Returns:
        The URL of the report.

    Raises:
        UsageError: The repository name is not valid.
        RunError: The folder contains no report, or the existing card cannot be parsed.
        HubError: The Hub does not answer, or refuses.
    """
    repository = Repository(repo)
    root = Path(folder).resolve()
    try:
        markdown = (root / MARKDOWN).read_text(encoding="utf-8")
        contents = {name: (root / name).read_bytes() for name in (MARKDOWN, HTML, JSON, *_PICTURE.findall(markdown))}
    except OSError as error:
        raise RunError(f"{folder} holds no whole report: {error}. Make it again: hf-toedit {kind}.") from error
    name = _ODD.sub("-", root.name).strip(".-") or "report"
    there = f"{REPORTS[kind]}/{name}/"
    uploads = [Upload(there + path, content) for path, content in contents.items()]
    kept = {upload.path for upload in uploads}

    def change(head: BranchHead) -> list[Operation]:
        stale = [path for path in head.files if path.startswith(there) and path not in kept]
        sent = [*uploads, *_linking_card(repository, head, there + MARKDOWN)]
        return [*(upload for upload in sent if not upload.is_in(head)), *stale]

    repository.create(private=True)
    repository.commit(f"Add report {name} of hf-toedit {kind}", change)
    return f"{repository.url}/blob/main/{there}{MARKDOWN}"


def _linking_card(repository: Repository, head: BranchHead, report: str) -> list[Upload]:
    """Return the card of a repository with a link to a new report; empty if there is no card."""
    card = repository.file(head, CARD)
    return [Upload(CARD, with_reports(card_text(card), [*head.files, report]).encode())] if card else []
