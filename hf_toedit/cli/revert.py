"""`hf-toedit revert`: the source dataset again, from any one generation alone."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.options import json_option, messages_column_option, quiet_option, roles_option, text_column_option
from hf_toedit.config import SourceConfig, TextConfig
from hf_toedit.errors import RunError, SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

    from hf_toedit.rows.texts import Texts
    from hf_toedit.runs.plan import Plan, Shard
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.task import Pass

logger = logging.getLogger(__name__)


@click.command(short_help="Rebuild the source rows, exactly.")
@click.argument("run")
@click.option("-o", "--output", required=True, metavar="OUT", help="New folder for the source rows.")
@click.option("--generation", type=int, metavar="G", help="Generation to start from.  [default: the last]")
@text_column_option
@messages_column_option
@roles_option
@click.option("--edit-log-column", metavar="NAME", help="Its edit log.  [default: toedit]")
@click.option(
    "--skip-unrevertible", is_flag=True, help="Leave out rows whose edit log is missing or wrong, instead of failing."
)
@json_option
@quiet_option
def revert(
    run: str,
    output: str,
    generation: int | None,
    skip_unrevertible: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Rebuild the source rows of RUN in the folder OUT, exactly, from any one generation alone.

    RUN is a run folder, whose plan says which texts were edited, or, as a source of `edit` may be, files or a Hub
    dataset whose rows carry an edit log. OUT holds Parquet files that `datasets.load_dataset(OUT)` loads. If the source
    of any row is not known, since its edit log is missing or does not fit its text, nothing is written.
    """
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    quiet_hub()
    from hf_toedit.cards.card import README
    from hf_toedit.cards.metadata import features_card
    from hf_toedit.rows.rows import check_log_column, source_features
    from hf_toedit.runs.store import RunFolder, is_run

    target = RunFolder(output)
    target.check_empty()
    if is_run(run):
        edited = _of_run(run, generation)
    else:
        edited = _of_source(run, generation, options)
    check_log_column(edited.features, edited.texts, edited.log_column)
    features = source_features(edited.features, edited.log_column)
    reverted = _Reverted(edited, skip_unrevertible)
    target.write_rows(
        (Path("data") / f"{name}.parquet", features.arrow_schema, rows) for name, rows in reverted.files()
    )
    target.write_text(README, features_card(features))
    if reverted.num_lost.total():
        logger.warning("%s They are left out.", reverted.lost())
    if as_json:
        skipped = {"num_unrevertible": reverted.num_lost} if skip_unrevertible else {}
        click.echo(json.dumps({"output": str(target.root), "num_rows": reverted.num_rows, **skipped}, indent=2))
    elif not quiet:
        click.echo(f"Reverted {reverted.num_rows.total():,} rows. Source rows: {target.root}")


class _Reverted:
    """Source rows, rebuilt while they are written.

    Attributes:
        num_rows: that were rebuilt, by split.
        num_lost: that could not be, by split.
    """

    def __init__(self, edited: _Edited, skip: bool) -> None:
        """Rebuild nothing yet; `skip` leaves out rows that cannot be rebuilt."""
        self._edited = edited
        self._skip = skip
        self._named: list[str] = []
        self.num_rows: Counter[str] = Counter()
        self.num_lost: Counter[str] = Counter()

    def files(self) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        """Name and rows of each file.

        Raises:
            SourceError: in the end, when all are read: rows cannot be rebuilt.
        """
        for split, name, tables in self._edited.files:
            yield name, self._rows(split, tables)
        if self.num_lost.total() and not self._skip:
            raise SourceError(
                f"{self.lost()} Nothing was written. Get the dataset again, or leave out these rows with "
                f"--skip-unrevertible."
            )

    def lost(self) -> str:
        """How many rows cannot be rebuilt, and which."""
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
        features: of the rows, the log among them.
        texts: that were edited.
        log_column: where it is logged.
        files: split, name without its ending, and rows of each file to write.
    """

    features: Features
    texts: Texts
    log_column: str
    files: Iterator[tuple[str, str, Iterator[pa.Table]]]


def _of_run(run: str, generation: int | None) -> _Edited:
    """The rows of one generation of a run folder."""
    from hf_toedit.runs.store import RunFolder

    folder = RunFolder(run)
    plan = folder.plan()
    pass_, log_column = _chosen(run, plan, generation)
    folder.merged_stats(plan, pass_)
    files = ((shard.split, shard.name, _planned_rows(plan, folder, pass_, shard)) for shard in plan.shards)
    return _Edited(plan.output_features, plan.texts, log_column, files)


def _planned_rows(plan: Plan, folder: RunFolder, pass_: Pass, shard: Shard) -> Iterator[pa.Table]:
    """The rows of a shard.

    Raises:
        RunError: its file is damaged.
    """
    from hf_toedit.sources.parquet import stored_schema

    path = folder.data_path(pass_, shard)
    damaged = f"Delete it, and make it again: hf-toedit run {folder.root}"
    try:
        with folder.parquet(pass_, shard) as file:
            is_planned = stored_schema(file.schema_arrow) == stored_schema(plan.output_schema)
        if not is_planned:
            raise RunError(f"{path} has other columns than were planned. {damaged}")
        yield from folder.tables(plan, pass_, shard)
    except (OSError, ValueError) as error:  # those of Arrow are one of the two
        raise RunError(f"cannot read {path}: {' '.join(str(error).split())}. {damaged}") from error


def _of_source(name: str, generation: int | None, options: Mapping[str, Any]) -> _Edited:
    """The rows of files, or of a Hub dataset; where a run was pushed to it, its plan says what was edited."""
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
        log_column = options["edit_log_column"] or "toedit"
        opened = open_source(SourceConfig(name))
        texts = TextConfig(
            text_columns=options["text_column"],
            messages_column=options["messages_column"],
            **({"roles": options["roles"]} if options["roles"] else {}),
        )
    files = ((split, f"{split}-00000-of-00001", opened.tables(split)) for split in opened.splits)
    return _Edited(opened.features, Texts(texts), log_column, files)


def _chosen(run: str, plan: Plan, generation: int | None) -> tuple[Pass, str]:
    """The generation to revert, the last one where none is named, and the log column.

    Raises:
        UsageError: the rows of the run are not edited.
        RunError: there is no such generation, or no log.
    """
    from hf_toedit.tasks.edit import edit_of, generation_pass

    task = edit_of(plan)
    number = task.generations[-1] if generation is None else generation
    if number not in task.generations:
        raise RunError(f"{run} has no generation {number}; it has 1 to {task.generations[-1]}.")
    if task.run.edit_log_column is None:
        raise RunError(f"{run} was made with --no-edit-log, so its edits cannot be reverted.")
    return generation_pass(number), task.run.edit_log_column
