"""A run in a dataset repository of the Hub: downloaded as a whole, or verified shard by shard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from hf_toedit.checked import shown
from hf_toedit.errors import RunError, SourceError
from hf_toedit.hub import download, file_sizes, patiently, pinned_sha
from hf_toedit.program import command_line
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.verify import Verification, verify_run
from hf_toedit.storage.files import sizes_in
from hf_toedit.storage.layout import PLAN
from hf_toedit.storage.remote import RemotePath
from hf_toedit.threads import in_threads

CARD = "README.md"
GUARD = ".huggingface.yaml"

_STAGING = ".pull"
_BLOCK_BYTES = 2**18
"""Bytes per request for a file that is read in place; the first request includes its footer."""
_PORTION = 16
"""Number of files that are transferred to remote storage at the same time."""

_RECORD_BYTES = 2**16
"""Upper bound for the size of a shard's statistics."""

_PARTS = ("data/", PLAN.as_posix(), "toedit/stats/", "assets/", CARD)
"""Beginnings of the paths that a push sends; anyone may add others, such as a journal, which the next run would use."""

Progress = Callable[[], None]
"""Callback; called after each file, or after each shard."""


class HubRun:
    """A run in a dataset repository, at one commit.

    Attributes:
        repo_id: Repository, `org/name`.
        sha: The commit.
        repo_files: Size in bytes of every file of the repository, by path.
        files: Paths of the run's own files, as in a run folder; files that a push does not send are ignored.
    """

    def __init__(self, repo_id: str, revision: str | None = None, prefix: str = "") -> None:
        """Find the run; no file is downloaded yet.

        Args:
            repo_id: Repository, `org/name`.
            revision: Branch, tag or commit.
            prefix: Folder of the run in the repository.

        Raises:
            SourceError: There is no such repository or revision, no access, or no run in it.
        """
        self.repo_id = repo_id
        self.sha = pinned_sha("dataset", repo_id, revision, SourceError)
        self.repo_files = file_sizes(repo_id, self.sha)
        self._prefix = PurePosixPath(prefix.strip("/"))
        paths = [path for path in map(PurePosixPath, self.repo_files) if ".." not in path.parts]
        below = [str(path.relative_to(self._prefix)) for path in paths if path.is_relative_to(self._prefix)]
        self.files = sorted(path for path in below if path.startswith(_PARTS))
        if PLAN.as_posix() not in self.files:
            raise SourceError(
                f"dataset {repo_id!r} holds no run of hf-toedit at commit {self.sha}: it has no file "
                f"{self._prefix / PLAN.as_posix()}. Check the name, --revision and --prefix."
            )

    def fetch(self, names: Sequence[str], folder: RunFolder, progress: Progress | None = None) -> None:
        """Download files of the run to a run folder; they appear in the given order, after all were downloaded.

        Args:
            names: Paths, as in `files`.
            folder: The run folder to download to.
            progress: Callback; called after each file.

        Raises:
            RunError: The folder cannot be written.
            HubError: A file cannot be downloaded.
        """
        if isinstance(folder.root, RemotePath):
            self._send_on(names, folder.root, progress)
            return
        staging = folder.root / _STAGING
        try:
            download(self.repo_id, self.sha, [str(self._prefix / name) for name in names], staging, progress)
            for name in names:
                (folder.root / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staging / self._prefix / name, folder.root / name)
            if staging.exists():
                shutil.rmtree(staging)
        except OSError as error:
            raise RunError(f"cannot write {folder.root}: {error.strerror or error}. Name another folder.") from error

    def _send_on(self, names: Sequence[str], root: RemotePath, progress: Progress | None) -> None:
        """Transfer files to remote storage, several at a time, and the last one separately."""
        staging = root / _STAGING
        with TemporaryDirectory(prefix="hf-toedit-") as scratch:
            Path(scratch, _STAGING).touch()
            staging.put(Path(scratch, _STAGING))
            others = names[:-1]
            for portion in [*(others[at : at + _PORTION] for at in range(0, len(others), _PORTION)), names[-1:]]:
                here = {name: Path(scratch, self._prefix, name) for name in portion}
                download(self.repo_id, self.sha, [str(self._prefix / name) for name in here], Path(scratch), progress)

                def put(name: str, here: dict[str, Path] = here) -> None:
                    (root / name).put(here[name])
                    here[name].unlink()

                in_threads(put, here, len(here))
        staging.unlink()

    @classmethod
    def of(cls, repo_id: str) -> HubRun | None:
        """Return the run in a repository; None if it contains none.

        Raises:
            SourceError: There is no such repository, or no access.
        """
        sha = pinned_sha("dataset", repo_id, None, SourceError)
        return cls(repo_id, sha) if PLAN.as_posix() in file_sizes(repo_id, sha) else None

    def plan(self) -> Plan:
        """Download only the plan.

        Raises:
            RunError: The plan cannot be read.
            HubError: The plan cannot be downloaded.
        """
        with TemporaryDirectory(prefix="hf-toedit-") as scratch:
            self.fetch([PLAN.as_posix()], RunFolder(scratch))
            return self._read(RunFolder(scratch))

    def holds(self, plan: Plan, shard: Shard) -> bool:
        """Whether a shard is in the repository for every pass: data and statistics are part of the same commit."""
        folder = RunFolder(".")
        paths = [folder.stats_path(pass_, shard) for pass_ in plan.passes]
        paths += [folder.data_path(pass_, shard) for pass_ in plan.data_passes]
        return all(self.size(path.as_posix()) is not None for path in paths)

    @property
    def is_finished(self) -> bool:
        """Whether the push was completed."""
        return CARD in self.repo_files and GUARD not in self.repo_files

    def size(self, name: str) -> int | None:
        """Return the size of a file of the run in bytes; None if it does not exist."""
        return self.repo_files.get(str(self._prefix / name))

    def parquet(self, name: str) -> pq.ParquetFile:
        """Open a Parquet file of the run; only the requested parts are downloaded.

        Raises:
            HubError: The file cannot be downloaded.
            RunError: The file is damaged.
        """
        system, path = fsspec.url_to_fs(f"hf://datasets/{self.repo_id}@{self.sha}/{self._prefix / name}")

        def opened() -> pq.ParquetFile:
            # Without the size, its folder would be listed.
            stream = system.open(path, "rb", block_size=_BLOCK_BYTES, size=self.size(name))
            try:
                return pq.ParquetFile(stream)
            except pa.ArrowException as error:  # a ValueError, which would be taken for an answer of the Hub
                raise RunError(
                    f"{name} of dataset {self.repo_id!r} is damaged at commit {self.sha}: {error}. Push it again."
                ) from error

        return patiently(opened, f"read {name} of dataset {self.repo_id!r}")

    @contextmanager
    def records(self, most: int | None = None) -> Iterator[tuple[Plan, RunFolder]]:
        """Yield the plan, and a run folder without data.

        Its records exist as long as the context; data can be read through it at any time.

        Args:
            most: Maximum number of records; if there are more, or larger ones than this tool writes, none are
                downloaded.

        Raises:
            RunError: The plan cannot be read.
            HubError: A file cannot be downloaded.
        """
        with TemporaryDirectory(prefix="hf-toedit-") as scratch:
            folder = _Records(scratch, self)
            names = [name for name in self.files if name.startswith("toedit/")]
            num_bytes = sum(self.size(name) or 0 for name in names if name != PLAN.as_posix())
            if most is not None and (len(names) > most or num_bytes > most * _RECORD_BYTES):
                names = [PLAN.as_posix()]
            self.fetch(names, folder)
            yield self._read(folder), folder

    def pull(self, folder: RunFolder, progress: Progress | None = None) -> Plan:
        """Download the whole run to a run folder, the plan last; an interrupted pull continues where it stopped.

        Args:
            folder: The run folder: new, empty, or of an interrupted pull.
            progress: Callback; called after each file.

        Raises:
            RunError: The folder contains something else or cannot be written, or a file is not the one that was pushed.
            HubError: A file cannot be downloaded.
        """
        if not (folder.root / _STAGING).exists():
            folder.check_empty()
        names = sorted(self.files, key=lambda name: name == PLAN.as_posix())
        folders = {PurePosixPath(name).parent for name in names}
        there = {str(inner / name) for inner in folders for name in sizes_in(folder.root / inner)}
        self.fetch([name for name in names if name not in there], folder, progress)
        plan = self._read(folder)
        for pass_ in plan.data_passes:
            for shard in plan.shards:
                if folder.stats(plan, pass_, shard) is not None and not folder.is_sound(pass_, shard):
                    raise RunError(
                        f"{folder.data_path(pass_, shard)} is not the file that was pushed. Delete it, and "
                        f"`{command_line('run', folder.root)}` makes it again."
                    )
        return plan

    def verify(
        self, plan: Plan, folder: RunFolder, *, with_source: bool = True, progress: Progress | None = None
    ) -> Verification:
        """Re-read every shard on the Hub; see `verify_run`.

        Args:
            plan: The run's plan.
            folder: Run folder from `records`; it contains the data of a shard only while they are read.
            with_source: Whether to read the source as well.
            progress: Callback; called after each shard.

        Raises:
            HubError: A file cannot be downloaded.
        """

        @contextmanager
        def at_hand(shard: Shard) -> Iterator[None]:
            paths = [folder.data_path(pass_, shard) for pass_ in plan.data_passes]
            self.fetch([name for path in paths if (name := folder.relative(path)) in self.files], folder)
            try:
                yield
            finally:
                for path in paths:
                    path.unlink(missing_ok=True)

        found = verify_run(plan, folder, with_source=with_source, progress=progress, at_hand=at_hand)
        if not self.is_finished:
            found.problems.insert(0, "the push was not finished. Run the same `hf-toedit push` again.")
        return found

    def _read(self, folder: RunFolder) -> Plan:
        """Read the plan after it was downloaded to a folder, which may be temporary and is not named in errors.

        The locations of local files in it are discarded, and URLs of local files are refused: the plan is untrusted,
        and must not choose which files are read here.
        """
        try:
            plan = folder.plan()
            if local := next((file.path for file in plan.files if file.leads_here), None):
                (folder.root / PLAN).unlink()  # otherwise `run` would read that file
                raise RunError(f"it names a file of the machine that reads it, {shown(local)}.")
            elsewhere = plan.reading.without_places
            if not plan.reading.has_places_of(elsewhere):
                plan = replace(plan, reading=elsewhere)
                folder.replan(plan)
            return plan
        except RunError as error:
            raise RunError(
                f"the run in dataset {self.repo_id!r} cannot be read at commit {self.sha}: {error.__cause__ or error}"
            ) from error


class _Records(RunFolder):
    """A local run folder whose data are on the Hub."""

    def __init__(self, root: str, run: HubRun) -> None:
        super().__init__(root)
        self._run = run

    def _names_of_data(self) -> list[str]:
        return [name for name in self._run.files if name.startswith("data/")]

    def data_sizes(self, pass_: Pass) -> dict[str, int]:
        top = f"data/{pass_.name}/"
        names = [name for name in self._run.files if name.startswith(top)]
        return {name.removeprefix(top): self._run.size(name) or 0 for name in names}

    def data_size(self, pass_: Pass, shard: Shard) -> int | None:
        return self._run.size(self.relative(self.data_path(pass_, shard)))

    def parquet(self, pass_: Pass, shard: Shard) -> AbstractContextManager[pq.ParquetFile]:
        path = self.data_path(pass_, shard)
        return super().parquet(pass_, shard) if path.exists() else self._run.parquet(self.relative(path))
