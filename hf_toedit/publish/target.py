"""The target of a push: paths of the run, other files in the repository, and files that `datasets` would load."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from hf_toedit.errors import RunError, UsageError
from hf_toedit.hub import BranchHead, Repository, Upload, metadata_of
from hf_toedit.publish.pull import CARD, GUARD
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.storage.files import sizes_in
from hf_toedit.storage.layout import PLAN, REPORTS
from hf_toedit.storage.remote import AnyPath

# `datasets` prefers this file to the card: while it exists, nothing loads, and the error quotes the path in it. A
# pattern would not be quoted.
GUARD_UPLOAD = Upload(
    GUARD,
    b"""# Written by hf-toedit while it pushes; its last commit takes this file away.
configs:
- config_name: unfinished-push
  data_files: toedit/push-not-finished/give-the-same-hf-toedit-push-again.parquet
""",
)

_KEPT = re.compile(r"\.git\w*|(readme|licen[cs]e|notice|citation|copying)\b.*", re.IGNORECASE)
"""Names of files that belong to the owner of the repository."""

_NO_NAME = re.compile(r"[<>:\\|?*\x00-\x1f]")
"""Characters that `datasets` does not allow in the name of a configuration, which begins with the folder."""

_OWN_FOLDERS = {"assets", "data", "toedit"}

_NAMED = 5


class Target:
    """A folder of a repository, or its root, that contains or will contain a run.

    Attributes:
        prefix: Prefix of the paths in it.
    """

    def __init__(self, repository: Repository, prefix: str, plan: Plan, folder: RunFolder) -> None:
        """Store the settings; no request is sent yet.

        Args:
            repository: The repository.
            prefix: Name of the folder; empty for the root.
            plan: The run's plan.
            folder: The local run folder.

        Raises:
            UsageError: The prefix is not a valid folder.
        """
        parts = PurePosixPath(prefix).parts
        if prefix and (".." in parts or prefix.startswith("/") or not parts):
            raise UsageError(f"prefix {prefix!r} is not a folder in a repository. Name one such as v2.")
        if found := _NO_NAME.search(prefix):
            raise UsageError(f"prefix {prefix!r} cannot hold {found[0]!r}: `datasets` would not load it by that name.")
        if parts and parts[0] in _OWN_FOLDERS:
            raise UsageError(f"prefix {prefix!r} is a folder of runs at the root of a repository. Name one such as v2.")
        self.prefix = "".join(f"{part}/" for part in parts)
        self._repository = repository
        self._plan = plan
        self._folder = folder

    def __str__(self) -> str:
        """Return the name for messages."""
        return f"dataset {self._repository.id!r}" + (f", folder {self.prefix!r}" if self.prefix else "")

    def path(self, path: AnyPath) -> str:
        """Return the repository path of a file of the run folder."""
        return self.prefix + self._folder.relative(path)

    @property
    def plan_path(self) -> str:
        """Repository path of the plan."""
        return self.prefix + PLAN.as_posix()

    @property
    def pictures(self) -> list[AnyPath]:
        """Pictures of the card, in the run folder."""
        folder = self._folder.root / "assets"
        return [folder / name for name in sorted(sizes_in(folder)) if name.endswith(".png")]

    def check(self, head: BranchHead) -> None:
        """Refuse to overwrite files that do not belong to this run.

        Raises:
            RunError: The files are from another tool or run, or from more generations.
            HubError: The Hub does not answer, or refuses.
        """
        if GUARD in head.files and not GUARD_UPLOAD.is_in(head):
            raise RunError(
                f"{self} holds a {GUARD} of its own, which says what `datasets` loads there. Move its configs to "
                f"{CARD} and delete it, or use --replace: it deletes it."
            )
        if not self.check_plan(head):
            strange = self.strange(head)
            if strange:
                raise RunError(
                    f"{self} holds files that hf-toedit did not write: {_listed(strange)}. "
                    f"Name another repository or --prefix, or use --replace: it deletes them."
                )
            return
        strange = [path for path in self.strange(head) if path.startswith(f"{self.prefix}data/")]
        if strange:
            raise RunError(
                f"{self} holds data that are not of this run: {_listed(strange)}. Use --replace: it deletes them."
            )

    def check_plan(self, head: BranchHead) -> bool:
        """Refuse to overwrite another run, or more generations of this run.

        Returns:
            Whether this run is already there.

        Raises:
            RunError: Another run is there.
            HubError: The Hub does not answer, or refuses.
        """
        there = self._plan_there(head)
        if there is None:
            return False
        differences = there.differences(self._plan) if there.content_hash != self._plan.content_hash else []
        counts = len(there.data_passes), len(self._plan.data_passes)
        if counts[0] > counts[1] and not differences:
            differences = [f"--generations is {counts[0]} in the run and {counts[1]} here"]
        if differences:
            raise RunError(
                f"{self} holds another run: {'; '.join(differences)}. "
                f"Name another repository or --prefix, or use --replace: it deletes that run."
            )
        return True

    def holds_another(self, head: BranchHead) -> bool:
        """Whether another run is there, whose card would continue to load its own files.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        try:
            there = self._plan_there(head)
        except RunError:
            return True
        return there is not None and there.content_hash != self._plan.content_hash

    def strange(self, head: BranchHead) -> list[str]:
        """Return the files that belong neither to this run, nor to a run in a subfolder, nor to the owner."""
        plans = (path.removesuffix(PLAN.as_posix()) for path in head.files if path.endswith(f"/{PLAN.as_posix()}"))
        others = tuple(root for root in plans if root.startswith(self.prefix) and root != self.prefix)
        own = self._own_paths() | ({GUARD} if GUARD_UPLOAD.is_in(head) else set())
        return [
            path
            for path in sorted(head.files)
            if path.startswith(self.prefix)
            and path not in own
            and not path.startswith(others)
            and not path.startswith(tuple(f"{folder}/" for folder in REPORTS.values()))
            and not _KEPT.fullmatch(PurePosixPath(path).name)
        ]

    def would_load(self, head: BranchHead, paths: Iterable[str]) -> bool:
        """Whether `datasets` would load any of these files if they were committed now."""
        card = self._repository.file(head, CARD)
        patterns = _loaded(card) if card else []
        return not patterns or any(fnmatchcase(path, pattern) for path in paths for pattern in patterns)

    def _own_paths(self) -> set[str]:
        """Return all paths that this run may use."""
        own = {self.plan_path, *map(self.path, self.pictures)}
        own |= {self.prefix + name for name in self._folder.data_names(self._plan)}
        own |= {
            self.path(self._folder.stats_path(pass_, shard))
            for pass_ in self._plan.passes
            for shard in self._plan.shards
        }
        return own

    def _plan_there(self, head: BranchHead) -> Plan | None:
        """Return the plan of the existing run; None if there is none."""
        file = self._repository.file(head, self.plan_path)
        try:
            return Plan.read(file.read_bytes()) if file else None
        except RunError as error:
            raise RunError(f"the plan in {self} cannot be read: {error} Use --replace to delete that run.") from error


def _loaded(card: Path) -> list[str]:
    """Return the file patterns in a card's configs; empty if `datasets` finds files on its own."""
    patterns: list[str] = []
    configs = metadata_of(card).get("configs")
    for config in configs if isinstance(configs, list) else []:
        files = config.get("data_files") if isinstance(config, dict) else None
        for entry in files if isinstance(files, list) else [files]:
            paths = entry.get("path") if isinstance(entry, dict) else entry
            patterns += [str(path) for path in (paths if isinstance(paths, list) else [paths or "*"])]
    return patterns


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more
