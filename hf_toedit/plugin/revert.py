"""`revert`: the source rows of a loaded dataset, from its edit log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_toedit.checked import checked
from hf_toedit.config import TextConfig
from hf_toedit.errors import SourceError
from hf_toedit.runs.rows import check_log_column, reverted_table, source_features
from hf_toedit.runs.texts import Texts

AnyDataset = TypeVar("AnyDataset", Dataset, DatasetDict, IterableDataset, IterableDatasetDict)


def revert(
    dataset: AnyDataset,
    *,
    text_column: str | Sequence[str] = (),
    messages_column: str | None = None,
    roles: str | Sequence[str] = ("assistant",),
    edit_log_column: str = "toedit",
) -> AnyDataset:
    """Rebuild the source rows of an edited dataset, exactly; the edit log goes.

    Args:
        dataset: of any one generation, or several splits of it.
        text_column: that was edited, one or several, see `TextConfig`; `text` where nothing is named.
        messages_column: the conversations that were edited, instead of a text column.
        roles: whose messages were edited.
        edit_log_column: the struct column that holds the edits.

    Raises:
        SourceError: the dataset has no such log, or no such texts.
        UsageError: A name is not a string.

    Example:
        >>> source = revert(load_dataset("org/edited", split="train"))  # doctest: +SKIP
    """
    texts = Texts(
        TextConfig.from_mapping({"text_columns": text_column, "messages_column": messages_column, "roles": roles})
    )
    checked(edit_log_column, str, "edit_log_column")
    if isinstance(dataset, dict):
        return type(dataset)({split: _reverted(part, texts, edit_log_column) for split, part in dataset.items()})
    return _reverted(dataset, texts, edit_log_column)


def _reverted(dataset: Dataset | IterableDataset, texts: Texts, log_column: str) -> Dataset | IterableDataset:
    features = dataset.features
    if features is None:
        raise SourceError("the stream does not know its features. Name them when it is loaded or mapped.")
    check_log_column(features, texts, log_column)
    back = partial(reverted_table, texts=texts, log_column=log_column)
    rows = dataset.with_format("arrow").map(back, batched=True, features=source_features(features, log_column))
    return rows.with_format(None)
