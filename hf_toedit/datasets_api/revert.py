"""`revert`: restore the source rows of an edited dataset from its edit log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_toedit.checked import checked
from hf_toedit.config import TextConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.rows.logs import named_rows, unrevertible
from hf_toedit.rows.rows import check_log_column, revertible_rows, source_features
from hf_toedit.rows.texts import Texts

logger = logging.getLogger(__name__)

AnyDataset = TypeVar("AnyDataset", Dataset, DatasetDict, IterableDataset, IterableDatasetDict)


def revert(
    dataset: AnyDataset,
    *,
    text_column: str | Sequence[str] = (),
    messages_column: str | None = None,
    roles: str | Sequence[str] = ("assistant",),
    edit_log_column: str = "toedit",
    skip_unrevertible: bool = False,
) -> AnyDataset:
    """Restore the exact source rows of an edited dataset; the edit log is removed.

    Args:
        dataset: Dataset of any single generation, or several splits of it.
        text_column: Column or columns that were edited, see `TextConfig`; `text` by default.
        messages_column: Column of conversations that were edited, instead of a text column.
        roles: Roles whose messages were edited.
        edit_log_column: Struct column with the edits.
        skip_unrevertible: Whether to leave out rows whose source is unknown, because their log is missing or does not
            fit their text, and to log a warning that names them; otherwise they are an error.

    Raises:
        SourceError: The dataset has no such log or no such texts, or the source of rows is unknown. For a stream, the
            latter is raised when it is read.
        UsageError: A name is not a string, or the dataset is not one of `datasets`.

    Examples:
        >>> source = revert(load_dataset("org/edited", split="train"))  # doctest: +SKIP
    """
    texts = Texts(
        TextConfig.from_mapping({"text_columns": text_column, "messages_column": messages_column, "roles": roles})
    )
    checked(edit_log_column, str, "edit_log_column")
    if isinstance(dataset, dict):
        return type(dataset)(
            {
                split: _reverted(part, texts, edit_log_column, skip_unrevertible, split)
                for split, part in dataset.items()
            }
        )
    return _reverted(dataset, texts, edit_log_column, skip_unrevertible)


def _reverted(
    dataset: Dataset | IterableDataset, texts: Texts, log_column: str, skip: bool, split: str | None = None
) -> Dataset | IterableDataset:
    if not isinstance(dataset, Dataset | IterableDataset):
        raise UsageError(
            f"the dataset is of type {type(dataset).__name__}. Load it with load_dataset; or revert a run folder with "
            f"Run.open(folder).revert."
        )
    features = dataset.features
    if features is None:
        raise SourceError("the stream does not know its features. Name them when it is loaded or mapped.")
    check_log_column(features, texts, log_column)
    source = source_features(features, log_column)
    if isinstance(dataset, Dataset) and not len(dataset):  # `map` would return it as it is, with its log
        return dataset.select_columns(list(source)).with_format(None)
    back = partial(_back, texts=texts, log_column=log_column, skip=skip, split=split)
    rows = dataset.with_format("arrow").map(back, with_indices=True, batched=True, features=source)
    return rows.with_format(None)


def _back(
    table: pa.Table, indices: Sequence[int], *, texts: Texts, log_column: str, skip: bool, split: str | None
) -> pa.Table:
    rows, reasons = revertible_rows(table, texts, log_column)
    if reasons:
        named = named_rows({int(indices[row]): reason for row, reason in reasons.items()}, split)
        lost = unrevertible(len(reasons), named)
        if not skip:
            raise SourceError(f"{lost} Get the dataset again, or leave out such rows with skip_unrevertible=True.")
        logger.warning("%s They are left out.", lost)
    return rows
