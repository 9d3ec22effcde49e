"""File formats as `datasets` infers them from file names: module, settings and splits."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from datasets import DatasetBuilder, get_dataset_config_names, load_dataset_builder
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.sources.reading import FORMATS, one_line
from hf_toedit.sources.web import is_web

ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".arrow", ".tar")
"""Common file extensions of data; `datasets` reads some others as well."""

_KNOWN = ", ".join(ENDINGS)
_NO_CONFIGURATION = re.compile(r"BuilderConfig .* not found\. Available: \[(.*)\]")
_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz", ".lz4")


def format_of_files(config: SourceConfig, files: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Return the module that reads the files, and its options, as `datasets` infers them from file extensions.

    Raises:
        SourceError: An extension is unknown, or the extensions differ.
        UsageError: A configuration is requested, but files have none.
    """
    if config.config_name:
        raise UsageError(f"{config.source!r} is a file and has no configurations. Leave --config-name out.")
    examples = {ending(file): file for file in files}
    found = {tail: _format_of(config, file) for tail, file in examples.items()}
    modules = sorted({module for module, _ in found.values()})
    if len(modules) > 1:
        raise SourceError(f"{config.source!r} matches files of several formats ({', '.join(modules)}). Name one.")
    kinds = list(found.values())
    if any(kind != kinds[0] for kind in kinds):
        raise SourceError(f"{config.source!r} matches files of several endings ({', '.join(found)}). Name one.")
    return kinds[0]


def _format_of(config: SourceConfig, file: str) -> tuple[str, dict[str, Any]]:
    place = file if "://" in file else os.path.abspath(file)
    with TemporaryDirectory() as empty:  # settings of a dataset next to the file must not apply
        if is_web(file):  # the name is enough; the server need not be asked
            place = os.path.join(empty, _path_of(file).name)
            Path(place).touch()
        try:
            return settings(make_builder(config, empty, data_files=[glob.escape(place)]))
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            if ending(file) not in file:
                raise SourceError(
                    f"cannot tell the format of {file!r}: `datasets` knows endings in lower case only. Rename it."
                ) from error
            raise SourceError(
                f"cannot tell the format of {file!r}. Known endings: {_KNOWN} and others that `datasets` reads; "
                f"and {', '.join(_COMPRESSIONS)} behind them."
            ) from error


def ending(file: str) -> str:
    """Return the extension that determines the format, without that of a compression."""
    path = _path_of(file)
    compressed = path.suffix.lower() in _COMPRESSIONS
    return (PurePosixPath(path.stem) if compressed else path).suffix.lower()


def _path_of(file: str) -> PurePosixPath:
    return PurePosixPath(urlsplit(file).path if is_web(file) else file)


def make_builder(config: SourceConfig, what: str, **options: Any) -> DatasetBuilder:
    """Call `load_dataset_builder` with uniform errors and without leaving anything in the cache.

    Raises:
        SourceError: There is no dataset, or it cannot be read.
        UsageError: It has several configurations and none is named.
    """
    try:
        with TemporaryDirectory() as scratch:
            return load_dataset_builder(what, cache_dir=scratch, **options)
    except FileNotFoundError as error:
        no_data = isinstance(error, DataFilesNotFoundError | EmptyDatasetError) or "supported extension" in str(error)
        raise SourceError(
            f"{config.source!r} holds no dataset: no save_to_disk files and none that `datasets` reads ({_KNOWN})."
            if no_data
            else f"cannot find {config.source!r}: {one_line(error)}"
        ) from error
    except Exception as error:
        if "Config name is missing" in str(error):
            names = get_dataset_config_names(what, revision=options.get("revision"))
            raise UsageError(
                f"{config.source!r} has several configurations. Name one with --config-name: {', '.join(names)}."
            ) from error
        if found := _NO_CONFIGURATION.search(str(error)):
            known = found[1].replace("'", "")
            raise SourceError(
                f"{config.source!r} has no configuration {config.config_name!r}. Known: {known}."
            ) from error
        raise unreadable(config, error) from error


def settings(builder: DatasetBuilder) -> tuple[str, dict[str, Any]]:
    """Return the module of a builder, and its settings that differ from the defaults.

    Raises:
        SourceError: The files cannot be read one by one.
    """
    if builder.name not in FORMATS:
        raise SourceError(
            f"rows of the format {builder.name!r} span several files, and cannot be read one file at a time. "
            f"Save them as Parquet first."
        )
    default = type(builder.config)()
    shared = {"name", "version", "data_dir", "data_files", "description", "features"}
    own = {field.name for field in dataclasses.fields(default)} - shared
    changed = {name: getattr(builder.config, name) for name in sorted(own)}
    return builder.name, {name: value for name, value in changed.items() if value != getattr(default, name)}


def unreadable(config: SourceConfig, error: Exception) -> SourceError:
    """Return the error for a source that exists but cannot be read."""
    return SourceError(f"cannot read {config.source!r}: {one_line(error.__cause__ or error)} Name another source.")
