"""Data files of a folder that are not read, because of their format or their names."""

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
"""Files that may define which files of a folder are a dataset."""

_NAMED = 3
"""Maximum number of file names in a message."""

_ABOUT_DATA = re.compile(
    r"(readme|licen[cs]e|notice|copying|authors|contributors|contributing|changelog|citation|requirements|robots)\b"
    r"[^/]*\.(txt|json|xml)|(state|package|tokenizer\w*|\w+_config)\.json",
    re.IGNORECASE,
)
"""Names of files that are not data although their extensions suggest it; `datasets` ignores some others."""


def is_data(file: str) -> bool:
    """Whether a file is data, by its path in its folder: not hidden, a known extension, and not a text about the data.

    Args:
        file: The path, with `/` as separator.
    """
    *folders, name = PurePosixPath(file).parts
    hidden = any(part.startswith((".", "__")) for part in folders) or name.startswith(".")
    about = name in FILES_TO_IGNORE or _ABOUT_DATA.fullmatch(name)
    return ending(name) in ENDINGS and not hidden and not about


def left_out_of_folder(config: SourceConfig, files: Iterable[str], read: Iterable[str]) -> str:
    """Describe the data files of a local folder that are not read, in one line; empty if there are none.

    Args:
        config: The source.
        files: All files in the folder and its subfolders.
        read: Files that are read.
    """
    folder = Path(os.path.expanduser(config.source))
    found = _below(folder.resolve(), read)
    unread = _unread(_below(folder, files), found)
    if not unread or (folder / ".huggingface.yaml").is_file() or metadata_of(folder / "README.md").get("configs"):
        return ""
    return _note(config, unread, found)


def left_out_of_repository(
    config: SourceConfig, repo: str, sha: str, files: Collection[str], read: Iterable[str], inner: str
) -> str:
    """Describe the data files of a Hub dataset that are not read, in one line; empty if there are none.

    Args:
        config: The source.
        repo: Repository, `org/name`.
        sha: The commit.
        files: All files of the repository, as paths in it.
        read: Files that are read.
        inner: Folder of the repository that is the source; empty for the whole repository.
    """
    top = f"{inner}/" if inner else ""
    found = {file.removeprefix(top) for file in read}
    unread = _unread((file.removeprefix(top) for file in files if file.startswith(top)), found)
    if not unread or ".huggingface.yaml" in files or card_metadata("dataset", repo, sha).get("configs"):
        return ""
    return _note(config, unread, found)


def _below(folder: Path, files: Iterable[str]) -> set[str]:
    return {os.path.relpath(file, folder).replace(os.sep, "/") for file in files}


def _unread(files: Iterable[str], read: Collection[str]) -> list[str]:
    return sorted(file for file in files if file not in read and is_data(file))


def _note(config: SourceConfig, unread: Sequence[str], read: Collection[str]) -> str:
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
    """Return advice, by example, on how to read unread files: `*.csv` for another format, or the file itself."""
    example = PurePosixPath(unread[0])
    if _is_upper(unread[0]):
        return f"rename them, such as {str(example)!r} to {str(example.with_suffix(example.suffix.lower()))!r}"
    if (kind := ending(unread[0])) not in known:
        example = example.with_name(f"*{example.name[example.name.rindex(kind) :]}")
    is_path = "://" in config.source or Path(os.path.expanduser(config.source)).exists()
    folder = config.source.rstrip("/") if is_path else f"hf://datasets/{config.source}"
    return f"name them as a source of their own, such as {f'{folder}/{example}'!r}"


def _is_upper(file: str) -> bool:
    """Whether an extension has upper-case letters, which `datasets` does not recognize when it scans a folder."""
    return ending(file) not in file
