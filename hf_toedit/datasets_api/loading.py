"""`hf_toedit.load_dataset`: edit a dataset while loading it."""

from __future__ import annotations

import re
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from datasets import (
    Dataset,
    DatasetDict,
    IterableDataset,
    IterableDatasetDict,
)

from hf_toedit.config import (
    EditSettings,
)
from hf_toedit.datasets_api.builder import ToEdit
from hf_toedit.errors import UsageError
from hf_toedit.settings import PriorSettings, ResourceSettings, SourceSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

Loaded: TypeAlias = Dataset | DatasetDict | IterableDataset | IterableDatasetDict


class LoadSettings(EditSettings, PriorSettings, ResourceSettings, SourceSettings, total=False):
    """The settings of `ToEditConfig` as keyword arguments, for type checkers and editors; a test compares the two."""

    source_split: str | None
    generations: int
    edit_log_column: str | None
    preset: str


def load_dataset(
    source: str | PathLike[str],
    *,
    split: Any = None,
    streaming: bool = False,
    num_proc: int | None = None,
    cache_dir: str | None = None,
    config_name: str | None = None,
    **settings: Unpack[LoadSettings],
) -> Loaded:
    """Edit a dataset while loading it: `datasets.load_dataset` with edited texts and an edit log column.

    The result is cached by the commits of source and prior and all settings: the same call reads the cache, and any
    other call edits again. If the Hub does not answer, the same call returns its last result.

    Args:
        source: Path, glob, `save_to_disk` folder, Hub id, `hf://` path, or `sample` for the bundled sample.
        split: Split, in the syntax of `datasets`; if one split is given, the others are not edited.
        streaming: Whether to edit rows as they are read, without caching.
        num_proc: Number of processes, each with its own prior.
        cache_dir: Cache folder; by default, that of `datasets`.
        config_name: Configuration of a dataset, or of a run (gen1).
        **settings: See `ToEditConfig`.

    Returns:
        A dataset, or one per split if no split is given; iterable if `streaming`.

    Raises:
        UsageError: A setting is unknown or out of range.
        SourceError: The source cannot be found, read, or edited as requested.
        PriorError: The prior cannot be found.
        LoadError: The prior or the source failed during loading.

    Examples:
        >>> edited = load_dataset("sample", split="train", threshold=0.95)  # doctest: +SKIP
    """
    if streaming and num_proc is not None:
        raise UsageError("num_proc is for loading, not for streaming. Leave it out, and let a DataLoader have workers.")
    settings.setdefault("source_split", _one_split(split))
    builder = ToEdit(cache_dir=cache_dir, config_name=config_name, source=source, **settings)
    if streaming:
        return builder.as_streaming_dataset(split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split)


def _one_split(split: Any) -> str | None:
    """Return the requested split, without a slice; None if there may be several."""
    found = re.fullmatch(r"(\w+(?:\.\w+)*)(?:\[.*\])?", "" if split is None else str(split))
    return None if found is None or found[1] == "all" else found[1]
