"""Data files of a folder that are not read, because `datasets` reads one format, or because of their names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from datasets.data_files import FILES_TO_IGNORE

from hf_toedit.config import SourceConfig
from hf_toedit.hub import card_metadata, metadata_of
from hf_toedit.sources.formats import ENDINGS, ending

CONFIG_FILES = ("README.md", ".huggingface.yaml", "dataset_infos.json")
"""Files that say which files of a folder are a dataset, or may."""

_NAMED = 3
"""Names in a message at most."""

_ABOUT_DATA = re.compile(
    r"(readme|licen[cs]e|notice|copying|authors|contributors|contributing|changelog|citation|requirements|robots)\b"
    r"[^/]*\.(txt|json|xml)|(state|package|tokenizer\w*|\w+_config)\.json",
    re.IGNORECASE,
)
"""Names of files that are no data, though their endings are those of data; `datasets` knows others."""


def is_data(file: str) -> bool:
    """Whether a file is data by its path from its folder: not hidden, of a known ending, and no text about the data.

    Args:
        file: The path, with `/` between its parts.
    """
    *folders, name = PurePosixPath(file).parts
    hidden = any(part.startswith((".", "__")) for part in folders) or name.startswith(".")
    about = name in FILES_TO_IGNORE or _ABOUT_DATA.fullmatch(name)
    return ending(name) in ENDINGS and not hidden and not about


def left_out_of_folder(config: SourceConfig, files: Iterable[str], read: Iterable[str]) -> str:
    """Report the data files of a local folder that are not read, in one line; empty where there are none.

    Args:
        config: The source.
        files: All files in the folder, and below.
        read: Those that are read.
    """
    folder = Path(os.path.expanduser(config.source))
    found = _below(folder.resolve(), read)
    unread = _unread(_below(folder, files), found)
    if not unread or (folder / ".huggingface.yaml").is_file() or metadata_of(folder / "README.md").get("configs"):
        return ""
    return _told(config, unread, found)


def left_out_of_repository(
    config: SourceConfig, repo: str, sha: str, files: Collection[str], read: Iterable[str], inner: str
) -> str:
    """The same of a dataset of the Hub.

    Args:
        config: The source.
        repo: `org/name`.
        sha: The commit.
        files: All files of the repository, as paths in it.
        read: Those that are read.
        inner: The folder in it that is the source; empty for all of it.
    """
    top = f"{inner}/" if inner else ""
    found = {file.removeprefix(top) for file in read}
    unread = _unread((file.removeprefix(top) for file in files if file.startswith(top)), found)
    if not unread or ".huggingface.yaml" in files or card_metadata("dataset", repo, sha).get("configs"):
        return ""
    return _told(config, unread, found)


def _below(folder: Path, files: Iterable[str]) -> set[str]:
    return {os.path.relpath(file, folder).replace(os.sep, "/") for file in files}


def _unread(files: Iterable[str], read: Collection[str]) -> list[str]:
    return sorted(file for file in files if file not in read and is_data(file))


def _told(config: SourceConfig, unread: Sequence[str], read: Collection[str]) -> str:
    known, counts = {ending(file) for file in read}, Counter(map(ending, unread))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    names = ", ".join(map(repr, unread[:_NAMED])) + (f" and {len(unread) - _NAMED:,} more" * (len(unread) > _NAMED))
    number = "1 data file that is" if len(unread) == 1 else f"{len(unread):,} data files that are"
    return (
        f"{config.source!r} holds {number} not read ({kinds}: {names}), beside {len(read):,} "
        f"{', '.join(sorted(known))} read: {_reason(unread, known)}. "
        f"To edit the others too, {_advice(config, unread, known)}."
    )


def _reason(unread: Sequence[str], known: Collection[str]) -> str:
    reasons = {
        "`datasets` knows endings in lower case only": any(_is_upper(file) for file in unread),
        "a folder is read in one format": any(ending(file) not in known for file in unread),
        "files in folders of splits go before files named after splits (train, test, …), and those before others": any(
            ending(file) in known and not _is_upper(file) for file in unread
        ),
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds)


def _advice(config: SourceConfig, unread: Sequence[str], known: Collection[str]) -> str:
    """How to read what is not read, by example: `*.csv` of another format, or the file itself."""
    example = PurePosixPath(unread[0])
    if _is_upper(unread[0]):
        return f"rename them, such as {str(example)!r} to {str(example.with_suffix(example.suffix.lower()))!r}"
    if (kind := ending(unread[0])) not in known:
        example = example.with_name(f"*{example.name[example.name.rindex(kind) :]}")
    is_path = "://" in config.source or Path(os.path.expanduser(config.source)).exists()
    folder = config.source.rstrip("/") if is_path else f"hf://datasets/{config.source}"
    return f"name them as a source of their own, such as {f'{folder}/{example}'!r}"


def _is_upper(file: str) -> bool:
    """Whether an ending is written in a way that `datasets` does not know when it looks through a folder."""
    return ending(file) not in file
