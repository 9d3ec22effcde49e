"""`hf_toedit.load_dataset`: a dataset is edited while it is loaded."""

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
    """Edit a dataset while loading it: `datasets.load_dataset`, with the texts edited and the edit log beside them.

    The result is cached under the commits of source and prior and all settings: the same call again reads the cache,
    and any other edits anew. Where the Hub does not answer, the same call gives what it gave the last time.

    Args:
        source: path, glob, `save_to_disk` folder, Hub id, `hf://` path, or `sample` for the bundled sample.
        split: as `datasets` has it; where one split is named, the others are not edited.
        streaming: edit as rows are read, and cache nothing.
        num_proc: processes, each with a prior of its own.
        cache_dir: where the result is kept; that of `datasets` by default.
        config_name: configuration (subset) of a Hub dataset.
        **settings: see `ToEditConfig`.

    Returns:
        A dataset, or one a split where no split is named; iterable ones where streaming.

    Raises:
        UsageError: a setting is unknown or out of range.
        SourceError: the source cannot be found, read, or edited as asked.
        PriorError: the prior cannot be found.
        LoadError: the prior or the source failed on the way.

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
    """The one split that is asked for, whole or a slice; None where that may be several."""
    found = re.fullmatch(r"(\w+(?:\.\w+)*)(?:\[.*\])?", "" if split is None else str(split))
    return None if found is None or found[1] == "all" else found[1]
