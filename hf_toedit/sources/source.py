"""An opened source: its features, its rows, and their number for planning."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from datasets import Features, List, Value

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError, UsageError, did_you_mean
from hf_toedit.sources.json_lines import JSON_LINES
from hf_toedit.sources.measuring import measure, measure_first, spread
from hf_toedit.sources.model import SHARD_BYTES, FileExtent, Reading, SourceFile
from hf_toedit.sources.reading import RowReader
from hf_toedit.sources.resolve import Resolved, resolve

logger = logging.getLogger(__name__)

_SAMPLED_FILES = 5


@dataclass(frozen=True)
class Source:
    """An opened dataset.

    Attributes:
        name: Name as given by the user.
        revision: A commit SHA, or a fingerprint of the files, that pins the source.
        reading: How its files are read as rows.
        splits: Files by split, in order; each split has rows.
    """

    name: str
    revision: str
    reading: Reading
    splits: dict[str, tuple[SourceFile, ...]]

    @cached_property
    def reader(self) -> RowReader:
        """Reader of the files."""
        return RowReader(self.reading)

    @property
    def features(self) -> Features:
        """Features of the rows of every split."""
        return self.reader.features

    def tables(self, split: str, limit: int | None = None, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows of a split, in order and at most `limit`, as Arrow tables of bounded size.

        Raises:
            SourceError: A file cannot be read.
        """
        for file in self.splits[split]:
            for table in self.reader.tables(file, columns=columns):
                if limit is not None:
                    table = table.slice(0, limit)
                    limit -= len(table)
                yield table
                if limit == 0:
                    return

    def extents(
        self,
        split: str,
        columns: Sequence[str],
        *,
        limit: int | None = None,
        shard_bytes: int | None = SHARD_BYTES,
        num_shards: int | None = None,
    ) -> list[FileExtent]:
        """Measure the files of a split for planning.

        Args:
            split: Name of the split.
            columns: Top-level columns whose bytes count as text.
            limit: Number of rows to plan; None means all.
            shard_bytes: Target text size per shard; rows are counted in larger files. None makes each file one shard,
                without counting rows.
            num_shards: Number of shards, instead of `shard_bytes`.

        Raises:
            SourceError: A file that is opened cannot be read.
        """
        files = self.splits[split]
        if limit is not None:
            return measure_first(self.reader, files, columns, limit)
        size = math.inf if shard_bytes is None else shard_bytes
        return measure(self.reader, files, columns, lambda total: total / num_shards if num_shards else size)


def open_source(config: SourceConfig) -> Source:
    """Find, pin and open a dataset, without loading it.

    Raises:
        SourceError: The dataset does not exist, cannot be read, or has no rows.
    """
    found = resolve(config)
    if found.left_out:
        logger.warning("%s", found.left_out)
    if config.columns:
        found = _read_by_columns(config, found)
    if config.split is not None:
        if config.split not in found.splits:
            raise SourceError(
                f"{config.source!r} has no split {config.split!r}.{did_you_mean(config.split, found.splits)}"
            )
        found = replace(found, splits={config.split: found.splits[config.split]})
    features = _features(config, found)
    splits = {split: found.splits[split] for split in features}
    merged = _merged(config, features, declared=bool(found.features))
    reading = Reading(found.format, found.options, found.root, merged.to_dict())
    return Source(config.source, found.revision, reading, splits)


def _features(config: SourceConfig, found: Resolved) -> dict[str, Features]:
    """Return the features of each split that has rows: declared, or inferred from its first rows."""
    reader = RowReader(Reading(found.format, found.options, found.root, {}))
    inferred = {split: _first_features(reader, files) for split, files in found.splits.items()}
    known = {split: found.features.get(split, features) for split, features in inferred.items() if features is not None}
    if not known:
        raise SourceError(f"{config.source!r} has no rows, so there is nothing to edit.")
    return {split: _chosen(config, features, found.format) for split, features in known.items()}


def _read_by_columns(config: SourceConfig, found: Resolved) -> Resolved:
    """Return the source with a reader that is not disturbed by fields outside the selected columns."""
    if found.options or found.format not in ("json", "parquet"):
        raise UsageError(f"columns of {config.source!r} cannot be chosen: it is neither Parquet nor plain JSON lines.")
    return replace(found, format=JSON_LINES) if found.format == "json" else found


def _chosen(config: SourceConfig, features: Features, module: str) -> Features:
    """Return the features of the selected columns, with the types given in their names, or else their own."""
    chosen = {}
    for column in config.columns:
        name, colon, dtype = (column, "", "") if column in features or ":" not in column else column.rpartition(":")
        if not name:
            raise UsageError(f"column {column!r} of --columns has no name. Write it as NAME:TYPE.")
        if name not in features and not (colon and module == JSON_LINES):  # a later line may have it
            raise SourceError(f"{config.source!r} has no column {name!r}.{did_you_mean(name, features)}")
        if colon:
            try:
                chosen[name] = Value(dtype)
            except ValueError as error:
                raise UsageError(
                    f"column {column!r}: {dtype!r} is not a type. Name one such as string or int64."
                ) from error
        elif module == JSON_LINES and _has_fields(features[column]):
            raise UsageError(f"column {column!r} holds objects, whose fields may differ. Keep it as {column}:string.")
        else:
            chosen[column] = features[column]
    return Features(chosen) if chosen else features


def _first_features(reader: RowReader, files: Sequence[SourceFile]) -> Features | None:
    """Infer the features from the first file with rows; types of all-null columns are looked up in further files."""
    found = next((features for file in files if (features := reader.infer(file)) is not None), None)
    if found is None or not _has_null(found):
        return found
    others = (reader.infer(file) for file in spread(files, _SAMPLED_FILES))
    for other in others:
        found = _filled(found, other or found)
    return found


def _merged(config: SourceConfig, features: dict[str, Features], declared: bool) -> Features:
    """Merge the features of all splits: if none are declared, `datasets` casts all splits to those of the first."""
    (first, merged), *others = features.items()
    for split, other in others:
        if other != merged if declared else not set(other) <= set(merged):
            raise SourceError(
                f"the splits {first!r} and {split!r} of {config.source!r} have different columns. "
                f"Edit one at a time, with --split."
            )
        merged = _filled(merged, other)
    return merged


def _has_fields(feature: Any) -> bool:
    return _has_fields(feature.feature) if isinstance(feature, List) else isinstance(feature, dict)


def _has_null(feature: Any) -> bool:
    if isinstance(feature, dict):
        return any(_has_null(field) for field in feature.values())
    return _has_null(feature.feature) if isinstance(feature, List) else feature == Value("null")


def _filled(feature: Any, other: Any) -> Any:
    """Replace null types in a feature by the types of another feature."""
    if feature == Value("null"):
        return other
    if isinstance(feature, dict) and isinstance(other, dict):
        return type(feature)({name: _filled(field, other.get(name, field)) for name, field in feature.items()})
    if isinstance(feature, List) and isinstance(other, List):
        return List(_filled(feature.feature, other.feature), feature.length)
    return feature
