"""What the name of a source stands for: its files by split, pinned, and how they are read. Nothing is loaded."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import fsspec
from datasets import DatasetBuilder, Features, get_dataset_config_names, load_dataset_builder
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError

from hf_toedit import sample
from hf_toedit.config import SourceConfig, content_hash
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.hub import file_sizes, pinned_sha
from hf_toedit.runs.plan import SourceFile
from hf_toedit.runs.reading import one_line

_FORMATS = {
    "arrow", "conll", "csv", "eval", "fasta", "fastq", "genbank", "hdf5", "json", "parquet", "text", "tsfile",
    "vortex", "webdataset", "xml",
}  # fmt: skip
"""Modules of `datasets` of which each file can be read by itself."""

_ENDINGS = ".parquet, .jsonl, .ndjson, .json, .csv, .tsv, .txt, .arrow, .xml, .tar"
_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz", ".lz4")
_HUB_ID = r"[\w-][\w.-]*/[\w.-]+"
_HUB_URL = re.compile(rf"hf://datasets/({_HUB_ID})(?:@(refs/[^/]+/[^/]+|[^/]+))?(?:/(.+))?")
_CONFIG_FILES = ("README.md", ".huggingface.yaml", "dataset_infos.json")
_MANY_FILES = 1000
_SPLIT_NAME = re.compile(r"train|test|eval|val|dev|-of-|(?:^|/)(?:\.|__)")


@dataclass(frozen=True)
class Resolved:
    """A source, found.

    Attributes:
        revision: pins it: a commit, or a fingerprint of its files.
        format: the module of `datasets` that reads its files.
        options: settings of the module that are not the default ones.
        root: folder that the files lie in; None where they are URLs.
        splits: files by split, in order.
        features: by split, where they are declared.
    """

    revision: str
    format: str
    options: dict[str, Any]
    root: str | None
    splits: dict[str, tuple[SourceFile, ...]]
    features: dict[str, Features]


def resolve(config: SourceConfig) -> Resolved:
    """Find and pin a source.

    Raises:
        SourceError: it does not exist, or no format that can be read.
        UsageError: it has no revision or no configuration to choose.
    """
    config = replace(config, source=config.source.removeprefix("file://"))
    name = config.source
    path = Path(os.path.expanduser(name))
    in_hub = _HUB_URL.fullmatch(name)
    local = "://" not in name and (path.exists() or glob.has_magic(name) or name == "sample")
    if config.revision and (local or ("://" in name and (not in_hub or in_hub[2]))):
        raise UsageError(f"{name!r} is local and has no revisions. Leave --revision out." if local else
                         f"{name!r} says by itself what it is. Leave --revision out.")  # fmt: skip
    if in_hub:
        return _hub(config, in_hub[1], config.revision or (in_hub[2] and unquote(in_hub[2])), in_hub[3])
    if "://" in name:
        return _urls(config)
    if path.is_dir():
        return _folder(path, config)
    if glob.has_magic(name) or path.is_file():
        return _local(config, _matching(config))
    if name == "sample":
        return _local(config, [str(sample.path())])
    if re.fullmatch(_HUB_ID, name):
        return _hub(config, name, config.revision, None)
    raise SourceError(f"no file or folder {name!r}. Name a path, a glob, or a Hub dataset (org/name).")


def _matching(config: SourceConfig) -> list[str]:
    named = os.path.expanduser(config.source)
    found = [named] if Path(named).is_file() else sorted(glob.glob(named, recursive=True))
    files = [file for file in found if os.path.isfile(file)]
    if not files:
        raise SourceError(f"no file matches {config.source!r}. Check the pattern.")
    return files


def _folder(path: Path, config: SourceConfig) -> Resolved:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _saved(path, config)
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    relative = [os.path.relpath(file, path) for file in files]
    plain = not any(_SPLIT_NAME.search(name) or name in _CONFIG_FILES for name in relative)
    if plain and len(files) > _MANY_FILES and len({_ending(file) for file in files}) == 1 and not config.config_name:
        return _local(config, files)  # as `datasets` would find them, which takes it a minute for 100,000
    return _of_builder(_builder(config, str(path), name=config.config_name))


def _saved(path: Path, config: SourceConfig) -> Resolved:
    """A folder of `save_to_disk`."""
    if config.config_name:
        raise UsageError(f"{config.source!r} has no configurations. Leave --config-name out.")
    try:
        if (path / "dataset_dict.json").is_file():
            names = json.loads((path / "dataset_dict.json").read_text())["splits"]
            folders = {name: path / name for name in names}
        else:
            folders = {json.loads((path / "state.json").read_text())["_split"] or "train": path}
        states = {name: json.loads((folder / "state.json").read_text()) for name, folder in folders.items()}
        files = {
            name: [str(folder / entry["filename"]) for entry in states[name]["_data_files"]]
            for name, folder in folders.items()
        }
        features = {
            name: Features.from_dict(json.loads((folder / "dataset_info.json").read_text())["features"])
            for name, folder in folders.items()
        }
        return _pinned("arrow", {}, files, features)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(config, error) from error


def _local(config: SourceConfig, files: list[str]) -> Resolved:
    module, options = _format(config, files)
    return _pinned(module, options, {"train": files}, {})


def _urls(config: SourceConfig) -> Resolved:
    """Files anywhere `fsspec` reaches."""
    try:
        system, pattern = fsspec.url_to_fs(config.source)
        found = system.glob(pattern) if glob.has_magic(pattern) else [pattern]
        if len(found) == 1 and system.isdir(found[0]):
            found = [path for path in system.find(found[0]) if not PurePosixPath(path).name.startswith(".")]
        facts = {system.unstrip_protocol(path): system.info(path) for path in sorted(found)}
    except Exception as error:
        raise SourceError(f"cannot find {config.source!r}: {one_line(error)} Check the address.") from error
    if not facts:
        raise SourceError(f"no file matches {config.source!r}. Check the address.")
    module, options = _format(config, list(facts))
    stamps = [(path, info["size"], _stamp(info)) for path, info in facts.items()]
    files = tuple(SourceFile(path, info["size"] or 0, None) for path, info in facts.items())
    return Resolved(content_hash(stamps)[:40], module, options, None, {"train": files}, {})


def _stamp(info: Mapping[str, Any]) -> str:
    return next((str(info[key]) for key in ("ETag", "etag", "xet_hash", "mtime", "LastModified") if info.get(key)), "")


def _hub(config: SourceConfig, repo: str, revision: str | None, inner: str | None) -> Resolved:
    sha = pinned_sha("dataset", repo, revision, SourceError)
    sizes = file_sizes(repo, sha)
    top = f"hf://datasets/{repo}@{sha}/"
    inner = inner and inner.strip("/")
    if inner and (inner in sizes or glob.has_magic(inner)):
        pattern = inner if glob.has_magic(inner) else glob.escape(inner)
        paths = [path.removeprefix("datasets/") for path in fsspec.filesystem("hf").glob(f"{top}{pattern}")]
        names = [path.partition("/")[2].partition("/")[2] for path in paths]
        files = [f"{top}{name}" for name in sorted(names) if name in sizes]
        if not files:
            raise SourceError(f"no file matches {config.source!r} at commit {sha}. Check the pattern.")
        module, options = _format(config, files)
        splits, features = {"train": files}, {}
    else:
        builder = _builder(config, repo, name=config.config_name, revision=sha, data_dir=inner)
        module, options = _settings(builder)
        splits, features = _files(builder), _declared(builder)
    listed = {
        split: tuple(SourceFile(file, sizes[file.removeprefix(top)], None) for file in files)
        for split, files in splits.items()
    }
    return Resolved(sha, module, options, None, listed, features)


def _of_builder(builder: DatasetBuilder) -> Resolved:
    return _pinned(*_settings(builder), _files(builder), _declared(builder))


def _pinned(
    module: str, options: dict[str, Any], files: Mapping[str, list[str]], features: dict[str, Features]
) -> Resolved:
    """Local files, with their sizes and times of change."""
    everything = [os.path.abspath(file) for files in files.values() for file in files]
    root = os.path.commonpath([os.path.dirname(file) for file in everything])
    splits = {split: tuple(_stamped(file, root) for file in files) for split, files in files.items()}
    return Resolved(content_hash(splits)[:40], module, options, root, splits, features)


def _stamped(file: str, root: str) -> SourceFile:
    found = os.stat(file)
    path = os.path.relpath(os.path.abspath(file), root)
    return SourceFile(Path(path).as_posix(), found.st_size, found.st_mtime_ns)


def _format(config: SourceConfig, files: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """The module that reads files, and its options, as `datasets` tells them from the ending of their names."""
    if config.config_name:
        raise UsageError(f"{config.source!r} is a file and has no configurations. Leave --config-name out.")
    examples = {_ending(file): file for file in files}
    found = {ending: _format_of(config, file) for ending, file in examples.items()}
    modules = sorted({module for module, _ in found.values()})
    if len(modules) > 1:
        raise SourceError(f"{config.source!r} matches files of several formats ({', '.join(modules)}). Name one.")
    settings = list(found.values())
    if any(other != settings[0] for other in settings):
        raise SourceError(f"{config.source!r} matches files of several endings ({', '.join(found)}). Name one.")
    return settings[0]


def _format_of(config: SourceConfig, file: str) -> tuple[str, dict[str, Any]]:
    with TemporaryDirectory() as empty:  # beside the file may lie settings of a dataset, which are not asked for
        try:
            return _settings(_builder(config, empty, data_files=[glob.escape(file)]))
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise SourceError(
                f"cannot tell the format of {file!r}. Known endings: {_ENDINGS} and others that `datasets` reads; "
                f"and {', '.join(_COMPRESSIONS)} behind them."
            ) from error


def _ending(file: str) -> str:
    """What tells the format, behind which one of a compression may stand."""
    path = PurePosixPath(file)
    compressed = path.suffix.lower() in _COMPRESSIONS
    return (PurePosixPath(path.stem) if compressed else path).suffix.lower()


def _builder(config: SourceConfig, what: str, **options: Any) -> DatasetBuilder:
    """`load_dataset_builder`, its many kinds of failure become one; it leaves nothing in the cache."""
    try:
        with TemporaryDirectory() as scratch:
            return load_dataset_builder(what, cache_dir=scratch, **options)
    except FileNotFoundError as error:
        no_data = isinstance(error, DataFilesNotFoundError | EmptyDatasetError) or "supported extension" in str(error)
        raise SourceError(
            f"{config.source!r} holds no dataset: no save_to_disk files and none that `datasets` reads ({_ENDINGS})."
            if no_data
            else f"cannot find {config.source!r}: {one_line(error)}"
        ) from error
    except Exception as error:
        if "Config name is missing" in str(error):
            names = get_dataset_config_names(what, revision=options.get("revision"))
            raise UsageError(
                f"{config.source!r} has several configurations. Name one with --config-name: {', '.join(names)}."
            ) from error
        raise _unreadable(config, error) from error


def _settings(builder: DatasetBuilder) -> tuple[str, dict[str, Any]]:
    """The module of a builder, and the settings of it that are not the default ones."""
    if builder.name not in _FORMATS:
        raise SourceError(
            f"rows of the format {builder.name!r} span several files, and cannot be read one file at a time. "
            f"Save them as Parquet first."
        )
    default = type(builder.config)()
    shared = {"name", "version", "data_dir", "data_files", "description", "features"}
    own = {field.name for field in dataclasses.fields(default)} - shared
    changed = {name: getattr(builder.config, name) for name in sorted(own)}
    return builder.name, {name: value for name, value in changed.items() if value != getattr(default, name)}


def _files(builder: DatasetBuilder) -> dict[str, list[str]]:
    return {str(split): [str(file) for file in files] for split, files in builder.config.data_files.items()}


def _declared(builder: DatasetBuilder) -> dict[str, Features]:
    features = builder.info.features
    return dict.fromkeys(map(str, builder.config.data_files), features) if features else {}


def _unreadable(config: SourceConfig, error: Exception) -> SourceError:
    return SourceError(f"cannot read {config.source!r}: {one_line(error.__cause__ or error)} Name another source.")
