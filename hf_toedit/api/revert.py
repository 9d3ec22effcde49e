"""Source rows rebuilt from any generation, as in `hf-toedit revert`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hf_toedit.checked import checked
from hf_toedit.config import SourceConfig, TextConfig
from hf_toedit.errors import RunError, SourceError
from hf_toedit.program import command_line
from hf_toedit.runs.store import RunFolder, is_run
from hf_toedit.tasks.edit import edit_of, generation_pass

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

    from hf_toedit.rows.texts import Texts
    from hf_toedit.runs.passes import Pass
    from hf_toedit.runs.plan import Plan, Shard
    from hf_toedit.storage.remote import AnyPath

logger = logging.getLogger(__name__)


def revert_rows(
    run: str | PathLike[str],
    output: str | PathLike[str],
    *,
    generation: int | None = None,
    texts: TextConfig | None = None,
    edit_log_column: str | None = None,
    skip_unrevertible: bool = False,
) -> Reverted:
    """Write the source rows of edited rows.

    Args:
        run: Run folder, or files or a Hub dataset whose rows have an edit log.
        output: New folder for the source rows, which `load_dataset` can load.
        generation: Generation of the run to start from; None is the last.
        texts: Which texts were edited, if there is no plan; None is the column `text`.
        edit_log_column: Column of their edit log, if there is no plan; None is `toedit`.
        skip_unrevertible: Leave out rows whose edit log is missing or wrong, instead of failing.

    Returns:
        The rebuilt rows, with their counts.

    Raises:
        SourceError: The rows cannot be found or have no edit log, or some cannot be rebuilt; nothing is written.
        RunError: The folder is not empty, or there is no such generation.
    """
    from hf_toedit.cards.card import README
    from hf_toedit.cards.metadata import features_card
    from hf_toedit.rows.rows import check_log_column, source_features

    name = checked(run, str, "run")
    target = RunFolder(checked(output, str, "output"))
    target.check_empty()
    edited = _of_run(name, generation) if is_run(name) else _of_source(name, generation, texts, edit_log_column)
    check_log_column(edited.features, edited.texts, edited.log_column)
    features = source_features(edited.features, edited.log_column)
    reverted = Reverted(edited, skip_unrevertible, target.root)
    target.write_rows(
        (Path("data") / f"{name}.parquet", features.arrow_schema, rows) for name, rows in reverted.files()
    )
    target.write_text(README, features_card(features))
    if reverted.num_lost.total():
        logger.warning("%s They are left out.", reverted.lost())
    return reverted


class Reverted:
    """Source rows that are rebuilt while they are written.

    Attributes:
        folder: Folder that they are written to.
        num_rows: Number of rebuilt rows, by split.
        num_lost: Number of rows that could not be rebuilt, by split.
    """

    def __init__(self, edited: _Edited, skip: bool, folder: AnyPath) -> None:
        """Store the rows to rebuild; `skip` leaves out rows that cannot be rebuilt."""
        self.folder = folder
        self._edited = edited
        self._skip = skip
        self._named: list[str] = []
        self.num_rows: Counter[str] = Counter()
        self.num_lost: Counter[str] = Counter()

    def files(self) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        """Yield the name and rows of each file.

        Raises:
            SourceError: Some rows cannot be rebuilt; raised after all have been read.
        """
        for split, name, tables in self._edited.files:
            yield name, self._rows(split, tables)
        if self.num_lost.total() and not self._skip:
            raise SourceError(
                f"{self.lost()} Nothing was written. Get the dataset again, or leave out these rows with "
                f"--skip-unrevertible."
            )

    def lost(self) -> str:
        """Describe how many rows cannot be rebuilt, and which."""
        from hf_toedit.rows.logs import unrevertible

        return unrevertible(self.num_lost.total(), self._named)

    def _rows(self, split: str, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        from hf_toedit.rows.logs import NAMED, named_rows
        from hf_toedit.rows.rows import ROW_GROUP, grouped, revertible_rows

        texts, log_column = self._edited.texts, self._edited.log_column
        for table in grouped(tables, texts, ROW_GROUP):
            first = self.num_rows[split] + self.num_lost[split]
            rows, reasons = revertible_rows(table, texts, log_column)
            self.num_rows[split] += len(rows)
            self.num_lost[split] += len(reasons)
            self._named += named_rows({first + row: why for row, why in reasons.items()}, split)
            self._named = self._named[:NAMED]
            yield rows


class _Edited(NamedTuple):
    """Rows to revert.

    Attributes:
        features: Features of the rows, including the log.
        texts: The texts that were edited.
        log_column: Column of the edit log.
        files: Split, name without suffix, and rows of each file to write.
    """

    features: Features
    texts: Texts
    log_column: str
    files: Iterator[tuple[str, str, Iterator[pa.Table]]]


def _of_run(run: str, generation: int | None) -> _Edited:
    """Return the rows of one generation of a run folder."""
    folder = RunFolder(run)
    plan = folder.plan()
    pass_, log_column = _chosen(run, plan, generation)
    folder.merged_stats(plan, pass_)
    files = ((shard.split, shard.name, _planned_rows(plan, folder, pass_, shard)) for shard in plan.shards)
    return _Edited(plan.output_features, plan.texts, log_column, files)


def _planned_rows(plan: Plan, folder: RunFolder, pass_: Pass, shard: Shard) -> Iterator[pa.Table]:
    """Yield the rows of a shard.

    Raises:
        RunError: The shard's file is damaged.
    """
    from hf_toedit.sources.parquet import stored_schema

    path = folder.data_path(pass_, shard)
    damaged = f"Delete it, and make it again: {command_line('run', folder.root)}"
    try:
        with folder.parquet(pass_, shard) as file:
            is_planned = stored_schema(file.schema_arrow) == stored_schema(plan.output_schema)
        if not is_planned:
            raise RunError(f"{path} has other columns than were planned. {damaged}")
        yield from folder.tables(plan, pass_, shard)
    except (OSError, ValueError) as error:  # errors of Arrow are one of these
        advice = "Check its permissions." if isinstance(error, PermissionError) else damaged
        raise RunError(f"cannot read {path}: {' '.join(str(error).split()).rstrip('.')}. {advice}") from error


def _of_source(name: str, generation: int | None, given: TextConfig | None, log_column: str | None) -> _Edited:
    """Return the rows of files, or of a Hub dataset; if a run was pushed there, its plan defines what was edited."""
    from hf_toedit.publish.pull import HubRun
    from hf_toedit.rows.texts import Texts
    from hf_toedit.sources.resolve import hub_dataset
    from hf_toedit.sources.source import open_source

    on_hub = HubRun.of(name) if hub_dataset(name) == name else None
    if on_hub is not None:
        plan = on_hub.plan()
        pass_, log_column = _chosen(name, plan, generation)
        texts: TextConfig = plan.source
        opened = open_source(SourceConfig(name, revision=on_hub.sha, config_name=pass_.name))
        opened = replace(opened, reading=replace(opened.reading, features=plan.output_features.to_dict()))
    elif generation is not None:
        raise RunError(f"{name} is not a run folder, nor a run on the Hub, so it has no generations to choose from.")
    else:
        log_column = log_column or "toedit"
        opened = open_source(SourceConfig(name))
        texts = given or TextConfig()
    files = ((split, f"{split}-00000-of-00001", opened.tables(split)) for split in opened.splits)
    return _Edited(opened.features, Texts(texts), log_column, files)


def _chosen(run: str, plan: Plan, generation: int | None) -> tuple[Pass, str]:
    """Return the generation to revert, by default the last one, and the log column.

    Raises:
        UsageError: The rows of the run are not edited.
        RunError: There is no such generation, or no log.
    """
    task = edit_of(plan)
    number = task.generations[-1] if generation is None else generation
    if number not in task.generations:
        raise RunError(f"{run} has no generation {number}; it has 1 to {task.generations[-1]}.")
    if task.run.edit_log_column is None:
        raise RunError(f"{run} was made with --no-edit-log, so its edits cannot be reverted.")
    return generation_pass(number), task.run.edit_log_column
