"""Resolving the name of a source: its pinned files by split, and how they are read. Nothing is loaded."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import fsspec
from datasets import DatasetBuilder, Features

from hf_toedit import sample
from hf_toedit.config import URL_LIST, SourceConfig, content_hash
from hf_toedit.errors import SourceError, UsageError, did_you_mean
from hf_toedit.hub import dataset_text, file_sizes, pinned_sha
from hf_toedit.program import command_line
from hf_toedit.sources.formats import ending, format_of_files, make_builder, settings, unreadable
from hf_toedit.sources.left_out import CONFIG_FILES, is_data, left_out_of_folder, left_out_of_repository
from hf_toedit.sources.model import SourceFile
from hf_toedit.sources.reading import one_line
from hf_toedit.sources.stamps import content_revision, local_files, remote_files
from hf_toedit.sources.web import check_no_secret, listed_urls, web_files
from hf_toedit.storage.layout import PLAN

_HUB_ID = r"[\w-][\w.-]*/[\w.-]+"
_HUB_URL = re.compile(rf"hf://datasets/({_HUB_ID})(?:@(refs/[^/]+/[^/]+|[^/]+))?(?:/(.+))?")
_HUB_PAGE = re.compile(rf"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/({_HUB_ID})/?(?:(?:tree|viewer)/.*)?")
_MANY_FILES = 1000
_SPLIT_NAME = re.compile(r"train|test|eval|val|dev|-of-|(?:^|/)(?:\.|__)")


@dataclass(frozen=True)
class Resolved:
    """A resolved source.

    Attributes:
        revision: A commit, or a fingerprint of the files, that pins the source.
        format: Module of `datasets` that reads the files.
        options: Settings of the module that differ from the defaults.
        root: Folder of the files; None if they are URLs.
        splits: Files by split, in order.
        features: Declared features, by split.
        left_out: Description of other data files that are not read; empty if there are none.
    """

    revision: str
    format: str
    options: dict[str, Any]
    root: str | None
    splits: dict[str, tuple[SourceFile, ...]]
    features: dict[str, Features]
    left_out: str = ""


def resolve(config: SourceConfig) -> Resolved:
    """Find and pin a source.

    Raises:
        SourceError: The source does not exist, or its format cannot be read.
        UsageError: A revision or configuration is given, but the source has none.
    """
    check_no_secret(config.source, "the address of the source")
    config = replace(config, source=config.source.removeprefix("file://"))
    is_list = config.source.startswith(URL_LIST)
    name = config.source.removeprefix(URL_LIST)
    path = Path(os.path.expanduser(name))
    in_hub = _HUB_URL.fullmatch(name)
    local = "://" not in name and (path.exists() or glob.has_magic(name) or name == "sample")
    if config.revision and (local or ("://" in name and (not in_hub or in_hub[2]))):
        raise UsageError(f"{name!r} is local and has no revisions. Leave --revision out." if local else
                         f"{name!r} is a fixed address and has no revisions. Leave --revision out.")  # fmt: skip
    if is_list:
        return _url_list(config, path, in_hub)
    if in_hub:
        return _hub(config, in_hub[1], _revision(config, in_hub), in_hub[3])
    if page := _HUB_PAGE.fullmatch(name):
        raise SourceError(f"{name} is a page of the Hub, not a file. Name the dataset itself: {page[1]}")
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
    raise SourceError(f"no file or folder {name!r}.{_advice(path)}")


def hub_dataset(name: str) -> str | None:
    """Return the repository that a source names, as `org/name`; None if it is not on the Hub."""
    in_hub = _HUB_URL.fullmatch(name.removeprefix(URL_LIST))
    if in_hub:
        return in_hub[1]
    local = Path(os.path.expanduser(name)).exists() or glob.has_magic(name)
    return name if not local and re.fullmatch(_HUB_ID, name) else None


def _advice(path: Path) -> str:
    """Return what to name in place of a path that does not exist, with a leading space."""
    if path.is_symlink():
        return f" It is a link to {os.readlink(path)!r}, which does not exist. Restore that, or name another source."
    run, _, name_of_pass = str(path).rpartition(":")
    if run and (Path(run) / PLAN).is_file():
        return f" Use {run!r} with --config-name {name_of_pass}."
    names = ["sample"] if path == Path(path.name) else []
    with suppress(OSError):
        names += [entry.name for entry in islice(path.parent.iterdir(), _MANY_FILES)]
    near = get_close_matches(path.name, names, n=1, cutoff=0.7)
    meant = f" Did you mean {str(path.with_name(near[0]))!r}?" if near else ""
    return f"{meant} Name a path, a glob, a Hub dataset (org/name), or 'sample'."


def _matching(config: SourceConfig) -> list[str]:
    named = os.path.expanduser(config.source)
    found = [named] if Path(named).is_file() else sorted(glob.glob(named, recursive=True))
    files = [file for file in found if os.path.isfile(file)]
    if not files:
        raise SourceError(f"no file matches {config.source!r}. Check the pattern.")
    return files


def _folder(path: Path, config: SourceConfig) -> Resolved:
    walked = os.walk(path, onerror=_refuse_unreadable)
    files = sorted(os.path.join(folder, name) for folder, _, names in walked for name in names)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        found = _saved(path, config)
        files = [file for file in files if ending(file) != ".arrow"]  # such as cache files of `map`
    elif (path / PLAN).is_file() and not (path / "README.md").is_file():
        raise SourceError(
            f"{config.source!r} is a run folder, and not finished, or without rows: it has no card that says what to "
            f"load. Finish it ({command_line('run', config.source)}), or name files in it."
        )
    elif len(files) > _MANY_FILES and not config.config_name and _are_alike(path, files):
        found = _large_folder(path, config, files)
    elif glob.has_magic(os.path.realpath(path)):
        found = _of_pattern_like_folder(path, config, files)
    else:
        found = _of_builder(make_builder(config, str(path), name=config.config_name))
    read = [os.path.join(str(found.root), file.path) for kept in found.splits.values() for file in kept]
    return replace(found, left_out=left_out_of_folder(config, files, read))


def _refuse_unreadable(error: OSError) -> None:
    """Refuse a folder that cannot be listed, because `datasets` would leave out its files without a word.

    Raises:
        SourceError: The folder is not hidden, so that its files would be read.
    """
    if not Path(error.filename).name.startswith((".", "__")):
        raise SourceError(
            f"cannot read {error.filename}: {error.strerror}. Check its permissions, or name other files with a glob."
        ) from error


def _are_alike(path: Path, files: Sequence[str]) -> bool:
    """Whether all files of a folder are of one format, and no other file selects which are read."""
    return len({ending(file) for file in files}) == 1 and not any((path / name).exists() for name in CONFIG_FILES)


def _large_folder(path: Path, config: SourceConfig, files: Sequence[str]) -> Resolved:
    """Resolve a folder with many files, whose splits `datasets` infers from one example of each name pattern.

    For 100,000 files, `datasets` itself takes more than a minute; its patterns do not distinguish digits.
    """
    if not any(_SPLIT_NAME.search(os.path.relpath(file, path)) for file in files):
        return _local(config, list(files))
    kinds: dict[str, list[str]] = {}
    for file in files:
        kinds.setdefault(re.sub(r"\d", "0", os.path.relpath(file, path)), []).append(file)
    with TemporaryDirectory() as scratch:
        examples = _linked({kind: alike[0] for kind, alike in kinds.items()}, scratch)
        builder = make_builder(config, str(examples))
        splits = {
            split: sorted(file for kept in found for file in kinds[os.path.relpath(kept, examples)])
            for split, found in _files(builder).items()
        }
    return _pinned(*settings(builder), splits, {})


def _of_pattern_like_folder(path: Path, config: SourceConfig, files: Sequence[str]) -> Resolved:
    """Resolve a folder with `[`, `*` or `?` in its path, which `datasets` would read as a pattern: by links to it."""
    with TemporaryDirectory() as scratch:
        links = _linked({os.path.relpath(file, path): file for file in files}, scratch)
        builder = make_builder(config, str(links), name=config.config_name)
        found = {
            split: [os.path.join(os.path.realpath(path), os.path.relpath(link, links)) for link in read]
            for split, read in _files(builder).items()
        }
    return _pinned(*settings(builder), found, _declared(builder))


def _linked(files: Mapping[str, str], scratch: str) -> Path:
    """Create links to files, by their paths in a folder of links, and return that folder."""
    folder = Path(scratch).resolve()
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.abspath(file))
    return folder


def _saved(path: Path, config: SourceConfig) -> Resolved:
    """Resolve a folder of `save_to_disk`."""
    if config.config_name:
        raise UsageError(f"{config.source!r} has no configurations. Leave --config-name out.")
    try:
        if (path / "dataset_dict.json").is_file():
            names = json.loads((path / "dataset_dict.json").read_bytes())["splits"]
            folders = {name: path / name for name in names}
        else:
            folders = {json.loads((path / "state.json").read_bytes())["_split"] or "train": path}
        states = {name: json.loads((folder / "state.json").read_bytes()) for name, folder in folders.items()}
        files = {
            name: [str(folder / entry["filename"]) for entry in states[name]["_data_files"]]
            for name, folder in folders.items()
        }
        features = {
            name: Features.from_dict(json.loads((folder / "dataset_info.json").read_bytes())["features"])
            for name, folder in folders.items()
        }
        return _pinned("arrow", {}, files, features)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(config, error) from error


def _local(config: SourceConfig, files: list[str]) -> Resolved:
    module, options = format_of_files(config, files)
    return _pinned(module, options, {"train": files}, {})


def _urls(config: SourceConfig) -> Resolved:
    """Resolve files on any file system of `fsspec`."""
    try:
        system, pattern = fsspec.url_to_fs(config.source)
        found = system.glob(pattern) if glob.has_magic(pattern) else [pattern]
        if len(found) == 1 and system.isdir(found[0]):
            inside = {path: os.path.relpath(path, found[0]).replace(os.sep, "/") for path in system.find(found[0])}
            found = [path for path, below in inside.items() if is_data(below)] or [
                path for path, below in inside.items() if not PurePosixPath(below).name.startswith(".")
            ]
        files = remote_files(system, sorted(found))
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"cannot find {config.source!r}: {one_line(error)} Check the address.") from error
    if not files:
        raise SourceError(f"no file matches {config.source!r}. Check the address.")
    module, options = format_of_files(config, [file.path for file in files])
    splits = {"train": files}
    return Resolved(content_revision(splits), module, options, None, splits, {})


def _url_list(config: SourceConfig, path: Path, in_hub: re.Match[str] | None) -> Resolved:
    """Resolve the files of a URL list, which is a local file or in a dataset of the Hub."""
    if in_hub:
        revision = pinned_sha("dataset", in_hub[1], _revision(config, in_hub), SourceError)
        names = file_sizes(in_hub[1], revision)
        if in_hub[3] not in names:
            raise SourceError(
                f"dataset {in_hub[1]!r} has no file {in_hub[3]!r} at commit {revision}."
                f"{did_you_mean(str(in_hub[3]), [name for name in names if name.endswith('.txt')])}"
            )
        text = dataset_text(in_hub[1], in_hub[3], revision)
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceError(f"cannot read the list {str(path)!r}: {reason.rstrip('.')}. Check the path.") from error
    urls = listed_urls(text, config.source)
    module, options = format_of_files(config, urls)
    files = web_files(urls)
    return Resolved(
        revision if in_hub else content_hash([text, files])[:40], module, options, None, {"train": files}, {}
    )


def _revision(config: SourceConfig, in_hub: re.Match[str]) -> str | None:
    return config.revision or (in_hub[2] and unquote(in_hub[2]))


def _hub(config: SourceConfig, repo: str, revision: str | None, inner: str | None) -> Resolved:
    sha = pinned_sha("dataset", repo, revision, SourceError)
    sizes = file_sizes(repo, sha)
    top = f"hf://datasets/{repo}@{sha}/"
    inner = inner and inner.strip("/")
    if inner and (inner in sizes or glob.has_magic(inner)):
        found = [inner] if inner in sizes else _hub_glob(f"{top}{inner}")
        files = [f"{top}{name}" for name in found if name in sizes]
        if not files:
            raise SourceError(f"no file matches {config.source!r} at commit {sha}. Check the pattern.")
        module, options = format_of_files(config, files)
        splits, features, unread = {"train": files}, {}, ""
    else:
        builder = make_builder(config, repo, name=config.config_name, revision=sha, data_dir=inner)
        module, options = settings(builder)
        splits, features = _files(builder), _declared(builder)
        read = [file.removeprefix(top) for files in splits.values() for file in files]
        unread = left_out_of_repository(config, repo, sha, sizes, read, inner or "")
    listed = {
        split: tuple(SourceFile(file, sizes[file.removeprefix(top)], None) for file in files)
        for split, files in splits.items()
    }
    return Resolved(sha, module, options, None, listed, features, unread)


def _hub_glob(pattern: str) -> list[str]:
    """Return the paths, within their repository, of the matching files."""
    paths = [path.removeprefix("datasets/") for path in fsspec.filesystem("hf").glob(pattern)]
    return sorted(path.partition("/")[2].partition("/")[2] for path in paths)


def _of_builder(builder: DatasetBuilder) -> Resolved:
    return _pinned(*settings(builder), _files(builder), _declared(builder))


def _pinned(
    module: str, options: dict[str, Any], files: Mapping[str, list[str]], features: dict[str, Features]
) -> Resolved:
    """Resolve local files, with their sizes and fingerprints.

    Raises:
        SourceError: A file cannot be read.
    """
    everything = [os.path.abspath(file) for files in files.values() for file in files]
    root = os.path.commonpath([os.path.dirname(file) for file in everything])
    try:
        splits = local_files(root, files)
    except OSError as error:
        raise SourceError(f"cannot read {error.filename}: {error.strerror}. Check its permissions.") from error
    return Resolved(content_revision(splits), module, options, root, splits, features)


def _files(builder: DatasetBuilder) -> dict[str, list[str]]:
    return {str(split): [str(file) for file in files] for split, files in builder.config.data_files.items()}


def _declared(builder: DatasetBuilder) -> dict[str, Features]:
    features = builder.info.features
    return dict.fromkeys(map(str, builder.config.data_files), features) if features else {}
