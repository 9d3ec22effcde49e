"""Request for a run, and the plan made from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hf_toedit.checked import checked
from hf_toedit.config import Resources, SourceConfig
from hf_toedit.errors import RunError, UsageError
from hf_toedit.priors.names import EMBEDDED, REAL_PRIORS, TOY
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.task import Task
from hf_toedit.version import __version__

if TYPE_CHECKING:
    from hf_toedit.runs.estimate import Estimate

logger = logging.getLogger(__name__)

SHARD_SIZE = "256MB"
"""Target text size per shard."""


@dataclass(frozen=True)
class RunRequest:
    """Request for a run, with checked settings; the source is not opened yet.

    Attributes:
        source: Settings of the source.
        task: Task to run over its rows.
        shard_size: Target text size per shard, as `datasets` writes sizes (`256MB`); `file` makes one shard per file.
        num_shards: Number of shards per split, instead of a size.
    """

    source: SourceConfig
    task: Task
    shard_size: str = SHARD_SIZE
    num_shards: int | None = None

    def plan(self, resolve: Callable[[], Task], command: str | None = None, license: str | None = None) -> Plan:
        """Find the source and plan the run.

        Args:
            resolve: Called after the source has been checked; returns the task with its model pinned.
            command: The typed command, for the card.
            license: Licence of a source whose card does not state one.

        Raises:
            UsageError: The shard size is not valid, or there would be too many shards.
            SourceError: The source cannot be found, read, or used as requested.
            PriorError: The model cannot be found.
        """
        from hf_toedit.rows.texts import Texts
        from hf_toedit.runs.planning import make_plan
        from hf_toedit.runs.provenance import provenance
        from hf_toedit.sources.parquet import check_storable
        from hf_toedit.sources.source import open_source

        shard_bytes = None if self.shard_size == "file" else _num_bytes(self.shard_size)
        found = open_source(self.source)
        texts = Texts(self.source)
        self.task.check(found.features, texts)
        check_storable(found.features)
        columns = texts.columns(found.features)
        extents = {
            split: found.extents(
                split, columns, limit=self.source.limit, shard_bytes=shard_bytes, num_shards=self.num_shards
            )
            for split in found.splits
        }
        task = resolve()
        plan = make_plan(
            source_config=self.source,
            source_revision=found.revision,
            reading=found.reading,
            extents=extents,
            task=task,
            version=__version__,
            shard_bytes=shard_bytes,
            num_shards=self.num_shards,
        )
        facts = provenance(self.source, found.revision, task.model, command)
        if own := task.own_facts():
            facts["own"] = own
        if license is not None:
            facts["source_card"].setdefault("license", license)
        return replace(plan, provenance=facts)

    def begin(
        self, folder: RunFolder, resolve: Callable[[], Task], command: str | None = None, license: str | None = None
    ) -> None:
        """Plan the run and write the plan into its folder, or check that the folder has the same plan.

        Args:
            folder: The run folder.
            resolve: See `plan`, as for `command` and `license`.
            command: The typed command.
            license: Licence of the source.

        Raises:
            UsageError, SourceError, PriorError: As in `plan`.
            RunError: The folder contains another run.
        """
        folder.open(self.plan(resolve, command, license))
        self.warn_of_toy()

    def warn_of_toy(self) -> None:
        """Warn that the embedded prior is a toy, unless the source is the bundled sample."""
        if self.task.model is not None and self.task.model.name == EMBEDDED and self.source.source != "sample":
            logger.warning("%s. Use --prior %s.", TOY, REAL_PRIORS)

    def estimate(self, resources: Resources, price_per_hour: float | None = None) -> tuple[Plan, Estimate]:
        """Estimate rows, tokens, time and cost of the run; nothing is written.

        Args:
            resources: Machine resources that the model may use; it is timed on this machine.
            price_per_hour: Price per device.

        Raises:
            SourceError, PriorError: As in `plan`; or rows cannot be read.
        """
        from hf_toedit.runs.estimate import estimate_run

        task, loaded = self.task.load(resources)
        plan = self.plan(lambda: task)
        return plan, estimate_run(plan, loaded, price_per_hour)


def new_folder(output: str | os.PathLike[str], source: SourceConfig) -> RunFolder:
    """Return the folder of a new run.

    Raises:
        RunError: The folder cannot be written to, or is inside the source.
        UsageError: Its name is not a path.
    """
    folder = RunFolder(checked(output, str, "folder"))
    folder.check()
    origin = Path(os.path.expanduser(source.source))
    if origin.is_dir() and folder.is_inside(origin):
        raise RunError(
            f"{output} is the source {source.source}, or is inside it, and would be read as part of it. Name "
            f"another -o."
        )
    return folder


def _num_bytes(size: str) -> int:
    """Return the bytes of `256MB` or `1GiB`, as `datasets` parses `max_shard_size`."""
    from datasets.utils.py_utils import convert_file_size_to_int

    try:
        num_bytes = int(size) if str(size).isdigit() else convert_file_size_to_int(size)
    except ValueError:
        num_bytes = 0
    if num_bytes <= 0:
        raise UsageError(f"shard size {size!r} is not a size. Write it as 256MB or 1GiB, or use file.")
    return num_bytes
