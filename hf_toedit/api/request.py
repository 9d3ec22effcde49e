"""A run that is asked for, and the plan that is made of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
"""Text that a shard aims at."""


@dataclass(frozen=True)
class RunRequest:
    """A run that is asked for, its settings checked; nothing is looked for yet.

    Attributes:
        source: settings of the source.
        task: what is done to its rows.
        shard_size: text that a shard aims at, as `datasets` writes sizes (`256MB`); `file` makes each file one shard.
        num_shards: shards of each split, instead.
    """

    source: SourceConfig
    task: Task
    shard_size: str = SHARD_SIZE
    num_shards: int | None = None

    def plan(self, resolve: Callable[[], Task], command: str | None = None, license: str | None = None) -> Plan:
        """Find the source and plan the run.

        Args:
            resolve: called when the source is found good; answers with the task, its model pinned.
            command: that was typed, for the card.
            license: of a source whose card names none.

        Raises:
            UsageError: the size is none, or there would be too many shards.
            SourceError: the source cannot be found, read, or used as asked.
            PriorError: the model cannot be found.
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
        """Plan the run and write the plan into its folder, or find that it is there already.

        Args:
            folder: of the run.
            resolve: see `plan`, as are `command` and `license`.
            command: that was typed.
            license: of the source.

        Raises:
            UsageError, SourceError, PriorError: as of `plan`.
            RunError: the folder holds another run.
        """
        folder.open(self.plan(resolve, command, license))
        self.warn_of_toy()

    def warn_of_toy(self) -> None:
        """Say that the embedded prior is a toy, unless it is the bundled sample that it reads."""
        if self.task.model is not None and self.task.model.name == EMBEDDED and self.source.source != "sample":
            logger.warning("%s. Use --prior %s.", TOY, REAL_PRIORS)

    def estimate(self, resources: Resources, price_per_hour: float | None = None) -> tuple[Plan, Estimate]:
        """Say what the run would be: rows, tokens, time and cost; nothing is written.

        Args:
            resources: what the model may use of this machine, on which it is timed.
            price_per_hour: of a device.

        Raises:
            SourceError, PriorError: as of `plan`; or rows cannot be read.
        """
        from hf_toedit.runs.estimate import estimate_run

        task, loaded = self.task.load(resources)
        plan = self.plan(lambda: task)
        return plan, estimate_run(plan, loaded, price_per_hour)


def new_folder(output: str | Path, source: SourceConfig) -> RunFolder:
    """The folder of a run to be made.

    Raises:
        RunError: it cannot be written to, or lies inside the source.
    """
    folder = RunFolder(output)
    folder.check()
    origin = Path(source.source).expanduser()
    if origin.is_dir() and folder.is_inside(origin):
        raise RunError(
            f"{output} is the source {source.source}, or is inside it, and would be read as part of it. Name "
            f"another -o."
        )
    return folder


def _num_bytes(size: str) -> int:
    """Bytes of `256MB` or `1GiB`, as `datasets` reads them in `max_shard_size`."""
    from datasets.utils.py_utils import convert_file_size_to_int

    try:
        num_bytes = int(size) if str(size).isdigit() else convert_file_size_to_int(size)
    except ValueError:
        num_bytes = 0
    if num_bytes <= 0:
        raise UsageError(f"shard size {size!r} is not a size. Write it as 256MB or 1GiB, or use file.")
    return num_bytes
