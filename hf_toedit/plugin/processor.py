"""`ToEditProcessor`: ToEdit as a function for `Dataset.map` and `IterableDataset.map`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
from datasets import Features

from hf_toedit.config import EditConfig, PriorConfig, RunConfig
from hf_toedit.editing.editor import ToEditor
from hf_toedit.errors import SourceError, UsageError, did_you_mean
from hf_toedit.priors.base import load_prior
from hf_toedit.runs.rows import check_log_column, edit_table, logged_texts, output_features


class ToEditProcessor:
    """Edits one text column of batches of rows and adds the edit log; every other column stays as it is.

    Pickles as its settings alone and loads the prior when first called, in whichever process that is: a second `map`
    with the same settings is a cache hit, and processes may be forked or spawned (CUDA needs spawn).

    Example:
        >>> processor = ToEditProcessor("embedded", seed=1)
        >>> edited = dataset.map(processor, batched=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        prior: str = "embedded",
        *,
        text_column: str = "text",
        edit_log_column: str | None = "toedit",
        generation: int = 1,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        preset: str = "toedit",
        **config: Any,
    ) -> None:
        """Check the settings and pin the prior; it is not loaded yet.

        Args:
            prior: `embedded`, a local folder, or a Hub id.
            text_column: whose texts are edited.
            edit_log_column: the struct column that makes edits reversible; None leaves it out.
            generation: keys the draws; earlier edits in the log column are composed with the new ones.
            revision: see `PriorConfig`, as are `dtype`, `device` and `trust_remote_code`.
            dtype: of the model's body.
            device: where it runs; with several GPUs `auto` gives each rank of `map` its own.
            trust_remote_code: let the model's repository run its own code.
            preset: see `PRESETS`.
            **config: settings of `EditConfig`.

        Raises:
            PriorError: there is no such prior.
            UsageError: a setting is unknown or out of range.
        """
        from hf_toedit.priors.loading import pinned

        RunConfig(generation, edit_log_column)
        # The revision is part of the state, so that `map` does not answer from the cache for a prior that changed.
        self.prior_config, self.prior_revision = pinned(PriorConfig(prior, revision, dtype, device, trust_remote_code))
        self.edit_config = EditConfig.from_preset(preset, **config)
        self.text_column = text_column
        self.edit_log_column = edit_log_column
        self.generation = generation
        self._editor: ToEditor | None = None

    def __call__(self, batch: Any, rank: int | None = None) -> Any:
        """Edit a batch.

        Args:
            batch: rows as `map(batched=True)` gives them, or an Arrow table.
            rank: of the process, from `map(with_rank=True)`.

        Returns:
            Where the batch is or carries an Arrow table, all its columns as one, their types kept; otherwise the two
            columns that change, as lists.

        Raises:
            PriorError: the prior cannot be loaded, or fails on every row.
            SourceError: there is no such text column.
        """
        table = batch if isinstance(batch, pa.Table) else getattr(batch, "pa_table", None)
        names = table.column_names if table is not None else list(batch)
        if table is None and not isinstance(batch, Mapping):
            raise UsageError(
                f"rows come as {type(batch).__name__}; use the dataset without a format, or with_format('arrow')."
            )
        if self.text_column not in names:
            raise SourceError(f"the rows have no column {self.text_column!r}.{did_you_mean(self.text_column, names)}")
        if table is not None and self.edit_log_column and self.edit_log_column in names:
            check_log_column(Features.from_arrow_schema(table.schema), self.text_column, self.edit_log_column)
        editor = self._loaded(rank)
        if table is not None:
            return edit_table(editor, table, self.text_column, self.edit_log_column, self.generation)[0]
        return self._edit_lists(editor, batch)

    def features(self, features: Features) -> Features:
        """Features of the edited dataset, for `IterableDataset.map(processor, features=…)`.

        Args:
            features: of the dataset to edit.
        """
        return output_features(features, self.edit_log_column)

    def _edit_lists(self, editor: ToEditor, batch: Mapping[str, list]) -> dict[str, list]:
        texts = batch[self.text_column]
        logs = batch.get(self.edit_log_column or "") or [None] * len(texts)
        result = editor.edit(texts, generation=self.generation, tables=logged_texts(texts, logs))
        edited: dict[str, list] = {self.text_column: result.texts}
        if self.edit_log_column:
            edited[self.edit_log_column] = [document.to_log() for document in result.documents]
        return edited

    def _loaded(self, rank: int | None) -> ToEditor:
        if self._editor is None:
            self._editor = ToEditor(load_prior(_for_rank(self.prior_config, rank)), self.edit_config)
        return self._editor

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: what the fingerprint of `map` and other processes see."""
        return {**self.__dict__, "_editor": None}


def _for_rank(config: PriorConfig, rank: int | None) -> PriorConfig:
    """Give each process of `map(num_proc=N)` its own GPU, or one CPU thread."""
    if rank is None:
        return config
    import torch

    if config.device == "auto" and torch.cuda.is_available():
        return replace(config, device=f"cuda:{rank % torch.cuda.device_count()}")
    # A forked process must not wait for the OpenMP threads that its parent had; N processes want a core each anyway.
    torch.set_num_threads(1)
    return config
