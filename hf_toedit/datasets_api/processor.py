"""`ToEditProcessor`: ToEdit as a function for `Dataset.map` and `IterableDataset.map`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from datasets import Features

from hf_toedit.checked import checked, kinds
from hf_toedit.config import Backend, Dtype, EditConfig, EditSettings, PriorConfig, Resources, RunConfig, TextConfig
from hf_toedit.datasets_api.workers import for_rank, turn
from hf_toedit.display import called
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.result import log_counts
from hf_toedit.editing.selection import own_revisions
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.priors.fit import check_draw
from hf_toedit.priors.registry import load_prior
from hf_toedit.rows.rows import check_log_column, edit_table, output_features
from hf_toedit.rows.texts import Texts
from hf_toedit.settings import check_known

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ToEditProcessor:
    """Edits the texts of batches of rows and adds the edit log; everything else stays unchanged.

    Pickles only its settings, and loads the prior when it is first called in a process: a second `map` with the same
    settings is a cache hit, and processes may be forked or spawned (CUDA needs spawn).

    Examples:
        >>> processor = ToEditProcessor("embedded", seed=1)
        >>> edited = dataset.map(processor, batched=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        prior: str | PathLike[str] = "embedded",
        *,
        text_column: str | Sequence[str] = (),
        context_columns: str | Sequence[str] = (),
        messages_column: str | None = None,
        roles: str | Sequence[str] = ("assistant",),
        edit_log_column: str | None = "toedit",
        generation: int = 1,
        prior_revision: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        backend: Backend = "transformers",
        prune: bool = False,
        token_budget: int | None = None,
        memory_fraction: float = 0.9,
        tensor_parallel: int = 1,
        preset: str = "toedit",
        **edit: Unpack[EditSettings],
    ) -> None:
        """Check the settings and pin the prior; it is not loaded yet.

        Args:
            prior: `embedded`, a local folder, or a Hub id.
            text_column: Column or columns with the texts to edit, see `TextConfig`; `text` by default.
            context_columns: Columns that the prior reads before each text, without editing them.
            messages_column: Column of conversations to edit, instead of a text column.
            roles: Roles whose messages are edited.
            edit_log_column: Struct column that makes edits reversible; None omits it.
            generation: Number of the generation, part of the random key; earlier edits in the log column are composed
                with the new ones.
            prior_revision: Branch, tag or commit of a Hub prior.
            dtype: Data type of the prior's weights; `auto` is float32 on a CPU and bfloat16 on a GPU.
            device: Device of the prior; with several GPUs, `auto` assigns one to each rank of `map`.
            trust_remote_code: Whether to run the code of the model's repository.
            backend: Library that runs the model, `transformers` or `vllm`.
            prune: Skip full logits for tokens that cannot be selected: same edits, sampled statistics.
            token_budget: Target number of tokens per forward pass; results do not depend on it.
            memory_fraction: Fraction of a GPU's memory that may be used.
            tensor_parallel: Number of GPUs that share one copy of the prior; only with the vLLM backend.
            preset: One of `PRESETS`.
            **edit: Fields of `EditConfig`; they override the preset.

        Raises:
            PriorError: There is no such prior.
            UsageError: A setting is unknown or out of range.
        """
        from hf_toedit.priors.registry import pinned

        check_known(edit, ToEditProcessor)
        generation = checked(generation, kinds(RunConfig)["generations"], "generation")
        run = RunConfig(generation, edit_log_column, score_result=False)
        # Revisions are part of the state, so that `map` does not reuse cached results of code that has changed.
        self.prior_config, self.prior_revision = pinned(
            PriorConfig(prior, prior_revision, dtype, device, trust_remote_code, backend, prune)  # type: ignore[arg-type]
        )
        self.edit_config = EditConfig.from_preset(preset, **edit)
        check_draw(self.prior_config, self.edit_config)
        self.resources = Resources(token_budget, memory_fraction, tensor_parallel)
        self.own_revisions = own_revisions(self.edit_config)
        self.texts = Texts(
            TextConfig.from_mapping(
                {
                    "text_columns": text_column,
                    "context_columns": context_columns,
                    "messages_column": messages_column,
                    "roles": roles,
                }
            )
        )
        self.edit_log_column = run.edit_log_column
        self.generation = run.generations
        self._editor: Editor | None = None

    def __repr__(self) -> str:
        spoken = {"revision": "prior_revision", "text_columns": "text_column", "generations": "generation"}
        settings = {
            **self.texts.config.differing(TextConfig()),
            **RunConfig(self.generation, self.edit_log_column, score_result=False).differing(RunConfig()),
            **self.prior_config.differing(PriorConfig(self.prior_config.prior)),
            **self.resources.differing(Resources()),
            **self.edit_config.differing(EditConfig()),
        }
        # With a messages column, the text columns are empty; no other setting differs by being empty.
        named = {spoken.get(name, name): value for name, value in settings.items() if value != ()}
        return called(type(self), self.prior_config.prior, named)

    def __call__(self, batch: Any, rank: int | None = None) -> Any:
        """Edit a batch.

        Args:
            batch: Rows from `map(batched=True)`, or an Arrow table.
            rank: Rank of the process, from `map(with_rank=True)`.

        Returns:
            If the batch is or wraps an Arrow table, a table with all its columns and their types; otherwise the columns
            that change, as lists.

        Raises:
            PriorError: The prior cannot be loaded, or fails on every row.
            SourceError: The texts do not exist.
            UsageError: The rows are not a batch of this kind, or the rank is not a number.
        """
        if not isinstance(rank, int | None):
            raise UsageError(
                f"rank must be a whole number, not of type {type(rank).__name__}. Use map without indices."
            )
        table = batch if isinstance(batch, pa.Table) else getattr(batch, "pa_table", None)
        if table is not None:
            return self._edit(table, rank)
        if not isinstance(batch, Mapping):
            raise UsageError(
                f"rows come as {type(batch).__name__}; use the dataset without a format, or with_format('arrow')."
            )
        return self._edit_lists(batch, rank)

    def features(self, features: Features) -> Features:
        """Return the features of the edited dataset, for `IterableDataset.map(processor, features=…)`.

        Args:
            features: Features of the dataset to edit.
        """
        return output_features(features, self.texts, self.edit_log_column, log_counts(self.edit_config))

    def _edit(self, table: pa.Table, rank: int | None) -> pa.Table:
        self.texts.read_places(table.schema)
        if self.edit_log_column and self.edit_log_column in table.column_names:
            check_log_column(Features.from_arrow_schema(table.schema), self.texts, self.edit_log_column)
        with turn():
            return edit_table(self._loaded(rank), table, self.texts, self.edit_log_column, self.generation)[0]

    def _edit_lists(self, batch: Mapping[str, list], rank: int | None) -> dict[str, list]:
        """Edit rows of Python values; unchanged values are returned as the same objects."""
        _check_is_batch(batch)
        log = self.edit_log_column
        names = [*self.texts.columns(list(batch)), *([log] if log and log in batch else [])]
        before = {name: self._to_arrow(name, batch[name]) for name in names}
        after = self._edit(pa.table(before), rank)
        edited = {}
        for name in after.column_names:
            now = after.column(name).to_pylist()
            if name != log:
                was = before[name].to_pylist()
                now = [row if old == new else new for row, old, new in zip(batch[name], was, now, strict=True)]
            edited[name] = now
        return edited

    def _to_arrow(self, name: str, values: list) -> pa.Array:
        kind = None
        if name == self.edit_log_column:
            kind = self.texts.log_field(name, log_counts(self.edit_config)).type
        elif name in self.texts.config.text_columns:
            kind = pa.string()
            values = [value if _is_text(value) else None for value in values]
        try:
            return pa.array(values, type=kind)
        except (pa.ArrowException, UnicodeEncodeError, ValueError, TypeError) as error:
            raise SourceError(
                f"column {name!r} does not become an Arrow column ({error}). Use the dataset with_format('arrow')."
            ) from error

    def _loaded(self, rank: int | None) -> Editor:
        if self._editor is None:
            prior = load_prior(for_rank(self.prior_config, rank), self.resources)
            self._editor = Editor(prior, self.edit_config)
        return self._editor

    def __getstate__(self) -> dict[str, Any]:
        """Return only the settings, for the fingerprint of `map` and for other processes."""
        return {**self.__dict__, "_editor": None}


def _check_is_batch(batch: Mapping[str, Any]) -> None:
    """Refuse a single row: its text would be read as a list of texts, one per character."""
    for name, values in batch.items():
        is_one = not isinstance(values, Sequence) or isinstance(values, str | bytes)
        if getattr(values, "ndim", 0 if is_one else 1) == 0:
            raise UsageError(
                f"column {name!r} is of type {type(values).__name__}, not a list. Use map(processor, batched=True)."
            )


def _is_text(value: Any) -> bool:
    """Whether a value is a text that UTF-8 can encode."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
