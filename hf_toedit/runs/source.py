"""Where rows come from: local files, `save_to_disk` folders and Hub datasets, pinned and opened through `datasets`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, get_dataset_config_names, load_dataset, load_from_disk
from datasets.exceptions import DatasetNotFoundError

from hf_toedit import sample
from hf_toedit.config import SourceConfig, content_hash
from hf_toedit.errors import SourceError, UsageError, did_you_mean
from hf_toedit.hub import pinned_sha

_FORMATS = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".text": "text",
}
_COMPRESSIONS = (".gz", ".zst")
_BATCH_ROWS = 100


@dataclass(frozen=True)
class Source:
    """An opened dataset.

    Attributes:
        name: as it was asked for.
        revision: what pins it: a commit sha, or a fingerprint of local files.
        splits: rows by split, in order.
        features: of every split.
    """

    name: str
    revision: str
    splits: dict[str, Dataset]
    features: Features

    def num_rows(self, split: str, limit: int | None = None) -> int:
        """Rows of a split, at most `limit`."""
        return min(len(self.splits[split]), len(self.splits[split]) if limit is None else limit)

    def tables(self, split: str, limit: int | None = None) -> Iterator[pa.Table]:
        """The rows of a split, in order and at most `limit`, as Arrow tables of bounded length."""
        rows = self.splits[split].select(range(self.num_rows(split, limit)))
        yield from rows.with_format("arrow").iter(batch_size=_BATCH_ROWS)


def open_source(config: SourceConfig) -> Source:
    """Find, pin and open a dataset.

    Raises:
        SourceError: it does not exist, cannot be read, or holds no rows.
    """
    path = Path(os.path.expanduser(config.source))
    if config.revision and (path.exists() or glob.has_magic(config.source) or config.source == "sample"):
        raise UsageError(f"{config.source!r} is local and has no revisions. Leave --revision out.")
    if path.is_dir():
        opened, revision = _open_folder(path, config)
    elif glob.has_magic(config.source) or path.is_file():
        opened, revision = _open_files(config)
    elif config.source == "sample":
        opened, revision = _open_files(SourceConfig(str(sample.path())))
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", config.source) and path.suffix not in _FORMATS:
        opened, revision = _open_hub(config)
    else:
        raise SourceError(f"no file or folder {config.source!r}. Name a path, a glob, or a Hub dataset (org/name).")
    splits = _splits(opened, config)
    first, *others = splits
    for split in others:
        if splits[split].features != splits[first].features:
            raise SourceError(
                f"the splits {first!r} and {split!r} of {config.source!r} have different columns. "
                f"Edit one at a time, with --split."
            )
    return Source(config.source, revision, splits, splits[first].features)


def _open_files(config: SourceConfig) -> tuple[DatasetDict, str]:
    named = os.path.expanduser(config.source)
    if config.config_name:
        raise UsageError(f"{config.source!r} is a file and has no configurations. Leave --config-name out.")
    found = [named] if Path(named).is_file() else sorted(glob.glob(named, recursive=True))
    files = [file for file in found if Path(file).is_file()]
    if not files:
        raise SourceError(f"no file matches {config.source!r}. Check the pattern.")
    kinds = {_format(Path(file)) for file in files}
    if len(kinds) > 1:
        raise SourceError(f"{config.source!r} matches files of several formats ({', '.join(sorted(kinds))}). Name one.")
    kind = kinds.pop()
    if all(Path(file).stat().st_size == 0 for file in files):
        raise SourceError(f"{config.source} has no rows: the file is empty.")
    options = {"sep": "\t"} if _suffix(Path(files[0])) == ".tsv" else {}
    literal = [glob.escape(file) for file in files]  # `datasets` takes every name for a pattern
    return _loaded(config, kind, data_files=literal, **options), _fingerprint([Path(file) for file in files])


def _open_folder(path: Path, config: SourceConfig) -> tuple[DatasetDict | Dataset, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        try:
            return load_from_disk(str(path)), _fingerprint(files)
        except Exception as error:
            raise _unreadable(config, error) from error
    if not any(_is_data(file) for file in files):
        raise SourceError(f"folder {path} holds no dataset: no save_to_disk files and no {', '.join(_FORMATS)} files.")
    return _loaded(config, str(path), name=config.config_name), _fingerprint(files)


def _open_hub(config: SourceConfig) -> tuple[DatasetDict, str]:
    sha = pinned_sha("dataset", config.source, config.revision, SourceError)
    return _loaded(config, config.source, name=config.config_name, revision=sha), sha


def _loaded(config: SourceConfig, what: str, **options: object) -> DatasetDict:
    """`load_dataset`, its many kinds of failure become one."""
    try:
        return load_dataset(what, **options)
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise SourceError(f"cannot find {config.source!r}: {_one_line(error)}") from error
    except Exception as error:
        if "Config name is missing" in str(error):
            names = get_dataset_config_names(what, revision=options.get("revision"))
            raise UsageError(
                f"{config.source!r} has several configurations. Name one with --config-name: {', '.join(names)}."
            ) from error
        if "corresponds to no data" in str(error):  # how `datasets` greets a split of zero rows
            raise SourceError(f"{config.source!r} has no rows, or a split without any. Name other files.") from error
        raise _unreadable(config, error) from error


def _unreadable(config: SourceConfig, error: Exception) -> SourceError:
    cause = error.__cause__ or error
    return SourceError(f"cannot read {config.source!r}: {_one_line(cause)} Mend the file, or name another.")


def _splits(opened: DatasetDict | Dataset, config: SourceConfig) -> dict[str, Dataset]:
    splits = dict(opened) if isinstance(opened, DatasetDict) else {str(opened.split or "train"): opened}
    if config.split is not None:
        if config.split not in splits:
            raise SourceError(f"{config.source!r} has no split {config.split!r}.{did_you_mean(config.split, splits)}")
        splits = {config.split: splits[config.split]}
    splits = {name: rows for name, rows in splits.items() if len(rows)}
    if not splits:
        raise SourceError(f"{config.source!r} has no rows, so there is nothing to edit.")
    return splits


def _format(file: Path) -> str:
    suffix = _suffix(file)
    if suffix not in _FORMATS:
        raise SourceError(
            f"cannot tell the format of {str(file)!r}. Known endings: {', '.join(_FORMATS)}; "
            f"and {', '.join(_COMPRESSIONS)} behind them."
        )
    return _FORMATS[suffix]


def _is_data(file: Path) -> bool:
    return _suffix(file) in _FORMATS


def _suffix(file: Path) -> str:
    """The ending that tells the format, behind which one of a compression may stand."""
    return (Path(file.stem).suffix if file.suffix in _COMPRESSIONS else file.suffix).lower()


def _fingerprint(files: list[Path]) -> str:
    """Hash of names, sizes and times of change: quick however large the files are."""
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return content_hash(facts)[:40]


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300] + ("" if text.endswith(".") else ".")
