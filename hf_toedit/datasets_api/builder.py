"""The builder `ToEdit`: a dataset that is edited while it is loaded, and cached.

This module uses no private parts of `datasets`. `registration.py`, which does, adds `load_dataset("toedit")` to
`datasets` itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import accumulate, pairwise
from os import PathLike, getpid
from pathlib import Path
from typing import Any

import datasets.config
import pyarrow as pa
from datasets import (
    ArrowBasedBuilder,
    DatasetInfo,
    SplitGenerator,
)
from datasets.exceptions import DatasetGenerationError

from hf_toedit.datasets_api.config import ToEditConfig
from hf_toedit.datasets_api.workers import for_rank, rank, turn
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.result import log_counts
from hf_toedit.errors import SourceError, ToEditError, UsageError
from hf_toedit.priors.registry import load_prior
from hf_toedit.rows.rows import edit_batch, edit_table, grouped, output_features
from hf_toedit.runs.planning import make_plan
from hf_toedit.sources.model import SourceFile
from hf_toedit.tasks.edit import EditTask
from hf_toedit.version import __version__

logger = logging.getLogger(__name__)

Rows = tuple[SourceFile, int, int | None]
"""Rows `[start, stop)` of a file; up to the end of the file if `stop` is None."""

_FOREIGN = {
    "data_files": "Name files, or a glob of them, with source.",
    "data_dir": "Name a folder with source.",
    "features": "Features are those of the source; cast the result instead.",
    "token": "Log in with `hf auth login`, or set HF_TOKEN.",
    "storage_options": "Configure fsspec instead.",
}
"""Options of other `datasets` builders, with advice for this one."""


class LoadError(ToEditError, DatasetGenerationError):
    """A source or a prior failed during loading; a `DatasetGenerationError`, so that `datasets` does not wrap it."""


class ToEdit(ArrowBasedBuilder):
    """Builder of a dataset with the edited rows of a source; see `ToEditConfig`."""

    BUILDER_CONFIG_CLASS = ToEditConfig

    def __init__(self, cache_dir: str | PathLike[str] | None = None, *args: Any, **options: Any) -> None:
        """Check the settings, find and pin source and prior; nothing is loaded yet.

        Args:
            cache_dir: See `DatasetBuilder`.
            *args: See `DatasetBuilder`.
            **options: See `DatasetBuilder` and `ToEditConfig`.

        Raises:
            UsageError, SourceError, PriorError: See `load_dataset`.
        """
        for name, advice in _FOREIGN.items():
            if options.get(name):
                raise UsageError(f"{name} cannot be set for a dataset that is edited at load time. {advice}")
        self._num_proc = 1
        self._home = getpid()
        self._editor: tuple[int, Editor] | None = None
        self._cached = Path(os.path.expanduser(cache_dir or datasets.config.HF_DATASETS_CACHE)) / "toedit"
        super().__init__(cache_dir, *args, **{**options, "dataset_name": "toedit"})

    def download_and_prepare(self, *args: Any, num_proc: int | None = None, **options: Any) -> None:
        """Edit the source into the cache, unless it is already there; see `DatasetBuilder`."""
        self._num_proc = num_proc or 1
        super().download_and_prepare(*args, num_proc=num_proc, **options)
        if (self._cached / self.config_id).is_dir() and self.config.unreachable is None:
            (self._cached / self.config.asked).write_text(self.config_id, encoding="utf-8")

    def _info(self) -> DatasetInfo:
        config = self.config
        if config.unreachable is not None:
            self.config_id = self._last_time(config.unreachable)
            return DatasetInfo()  # the cache has the complete info
        log_column, counts = config.run.edit_log_column, log_counts(config.edit)
        return DatasetInfo(features=output_features(config.opened.features, config.texts, log_column, counts))

    def _last_time(self, unreachable: SourceError) -> str:
        """Return the cache entry of the same call, from the last time that the Hub answered.

        Raises:
            SourceError: There is none.
        """
        record = self._cached / self.config.asked
        config_id = record.read_text(encoding="utf-8") if record.is_file() else ""
        if not config_id or not (self._cached / config_id).is_dir():
            raise unreachable
        logger.warning("the Hub does not answer: %s comes from the cache.", self.config.source.source)
        return config_id

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        in_parallel = self._num_proc > 1 and not dl_manager.is_streaming
        shards = self._equal_shards() if in_parallel else self._file_shards()
        return [SplitGenerator(name=split, gen_kwargs={"shards": found}) for split, found in shards.items()]

    def _file_shards(self) -> dict[str, list[tuple[Rows, ...]]]:
        """Return one shard per file, by split, without reading any file, unless only the first rows are requested."""
        source, limit = self.config.opened, self.config.source.limit
        if limit is None:
            return {split: [((file, 0, None),) for file in files] for split, files in source.splits.items()}
        columns = self.config.texts.columns(source.features)
        extents = {split: source.extents(split, columns, limit=limit) for split in source.splits}
        return {split: [((extent.file, 0, extent.num_rows),) for extent in found] for split, found in extents.items()}

    def _equal_shards(self) -> dict[str, list[tuple[Rows, ...]]]:
        """Return one shard per process, by split, of similar text size."""
        config, source = self.config, self.config.opened
        columns, limit = config.texts.columns(source.features), config.source.limit
        prior, prior_revision = config.pinned_prior
        plan = make_plan(
            source_config=config.source,
            source_revision=source.revision,
            reading=source.reading,
            extents={
                split: source.extents(split, columns, limit=limit, num_shards=self._num_proc) for split in source.splits
            },
            task=EditTask(prior, config.edit, config.run, prior_revision),
            version=__version__,
            num_shards=self._num_proc,
        )
        shards: dict[str, list[tuple[Rows, ...]]] = {split: [] for split in plan.splits}
        for shard in plan.shards:
            shards[shard.split].append(tuple((plan.files[file], start, stop) for file, start, stop in shard.pieces))
        return shards

    def _generate_more_gen_kwargs(self, shards: list[tuple[Rows, ...]]) -> Iterator[dict[str, list[tuple[Rows, ...]]]]:
        """Yield one shard per row group of a Parquet file, for `IterableDataset.reshard`."""
        for file, start, stop in (rows for shard in shards for rows in shard):
            footer = self.config.opened.reader.footer(file)
            groups = range(0 if footer is None else footer.num_row_groups)
            ends = accumulate(footer.row_group(group).num_rows for group in groups)
            inner = [end for end in ends if start < end and (stop is None or end < stop)]
            if stop is None and inner:
                inner.pop()
            for first, last in pairwise([start, *inner, stop]):
                yield {"shards": [((file, first, last),)]}

    def _generate_tables(self, shards: list[tuple[Rows, ...]]) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        for index, shard in enumerate(shards):
            tables = enumerate(self._edited(shard))
            while (found := self._next(tables)) is not None:
                yield (index, found[0]), found[1]

    def _next(self, tables: Iterator[tuple[int, pa.Table]]) -> tuple[int, pa.Table] | None:
        try:
            with turn():
                return next(tables, None)
        except ToEditError as error:
            raise LoadError(str(error)) from error

    def _edited(self, shard: tuple[Rows, ...]) -> Iterator[pa.Table]:
        config = self.config
        rows = (table for piece in shard for table in config.opened.reader.tables(*piece))
        for table in grouped(rows, config.texts, edit_batch(self._loaded().prior)):
            for generation in range(1, config.run.generations + 1):
                log_column = config.run.edit_log_column
                table = edit_table(self._loaded(), table, config.texts, log_column, generation)[0]
            yield table

    def _loaded(self) -> Editor:
        """Return the editor of this process; threads and GPU of an inherited one may be gone after a fork."""
        here = getpid()
        if self._editor is None or self._editor[0] != here:
            config = for_rank(self.config.pinned_prior[0], None if here == self._home else rank())
            prior = load_prior(config, self.config.resources)
            self._editor = here, Editor(prior, self.config.edit)
        return self._editor[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the model, for other processes and copies."""
        return {**super().__getstate__(), "_editor": None}
