"""Configuration of the builder: what is edited during loading, and how; also determines the cache key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from datasets import (
    BuilderConfig,
)

from hf_toedit.checked import checked
from hf_toedit.config import (
    Backend,
    Dtype,
    EditConfig,
    EditSettings,
    PriorConfig,
    Resources,
    RunConfig,
    SourceConfig,
    content_hash,
)
from hf_toedit.editing.selection import own_revisions
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.hub import is_out_of_reach
from hf_toedit.priors.fit import check_draw
from hf_toedit.rows.texts import Texts
from hf_toedit.settings import check_known
from hf_toedit.sources.resolve import hub_dataset
from hf_toedit.sources.source import Source, open_source
from hf_toedit.sources.stamps import content_revision
from hf_toedit.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ToEditConfig(BuilderConfig):
    """Settings of a dataset that is edited during loading.

    Attributes:
        source: Settings of the source.
        prior: Settings of the prior.
        edit: How tokens are edited.
        run: Generations and log column.
        texts: Selects the edited texts.
        resources: What the prior may use of this machine.
        unreachable: Error of the source lookup, if the Hub does not answer.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        source: str | PathLike[str] | None = None,
        revision: str | None = None,
        source_split: str | None = None,
        limit: int | None = None,
        columns: str | Sequence[str] = (),
        text_column: str | Sequence[str] = (),
        context_columns: str | Sequence[str] = (),
        messages_column: str | None = None,
        roles: str | Sequence[str] = ("assistant",),
        prior: str | PathLike[str] = "embedded",
        prior_revision: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        backend: Backend = "transformers",
        prune: bool = False,
        token_budget: int | None = None,
        memory_fraction: float = 0.9,
        tensor_parallel: int = 1,
        generations: int = 1,
        edit_log_column: str | None = "toedit",
        preset: str = "toedit",
        **edit: Unpack[EditSettings],
    ) -> None:
        """Check the settings; nothing is looked up yet.

        Args:
            name: Configuration of a dataset, or of a run (gen1).
            source: See `SourceConfig`.
            revision: Revision of the source.
            source_split: The only split to edit; None edits all.
            limit: Maximum number of rows per split, from the first.
            columns: Columns to keep, in this order, each a name or `name:type`; empty keeps all.
            text_column: Column or columns with the texts to edit, see `TextConfig`; `text` by default.
            context_columns: Columns that the prior reads before each text, without editing them.
            messages_column: Column of conversations to edit, instead of a text column.
            roles: Roles whose messages are edited.
            prior: `embedded`, a local folder, or a Hub id.
            prior_revision: Branch, tag or commit of a Hub prior.
            dtype: Data type of the prior's weights; `auto` is float32 on a CPU and bfloat16 on a GPU.
            device: Device of the prior; with several GPUs, `auto` assigns one to each process.
            trust_remote_code: Whether to run the code of the model's repository.
            backend: Library that runs the model, `transformers` or `vllm`.
            prune: Skip full logits for tokens that cannot be selected: same edits, sampled statistics.
            token_budget: Target number of tokens per forward pass; results do not depend on it.
            memory_fraction: Fraction of a GPU's memory that may be used.
            tensor_parallel: Number of GPUs that share one copy of the model; only with the vLLM backend.
            generations: Number of editing passes, each over the previous output; the last one is loaded.
            edit_log_column: Struct column that makes edits reversible; None omits it.
            preset: One of `PRESETS`.
            **edit: Fields of `EditConfig`; they override the preset.

        Raises:
            UsageError: A setting is unknown or out of range.
        """
        super().__init__(name=checked(name, str, "config_name"))
        if source is None:
            raise UsageError(
                "no dataset is named. Use load_dataset('toedit', source='org/name'), "
                "or './toedit' where a folder of that name is meant."
            )
        if not isinstance(source, str | PathLike):
            raise UsageError(
                f"source must be one name or path, not a {type(source).__name__}. A glob names many files."
            )
        check_known(edit, ToEditConfig)
        self.source = SourceConfig(
            text_columns=text_column,  # type: ignore[arg-type]
            context_columns=context_columns,  # type: ignore[arg-type]
            messages_column=messages_column,
            roles=roles,  # type: ignore[arg-type]
            source=source,  # type: ignore[arg-type]
            config_name=None if name == "default" else name,
            split=source_split,
            revision=revision,
            limit=limit,
            columns=columns,  # type: ignore[arg-type]
        )
        self.prior = PriorConfig(prior, prior_revision, dtype, device, trust_remote_code, backend, prune)  # type: ignore[arg-type]
        self.edit = EditConfig.from_preset(preset, **edit)
        check_draw(self.prior, self.edit)
        self.run = RunConfig(generations, edit_log_column, score_result=False)
        self.texts = Texts(self.source)
        self.resources = Resources(token_budget, memory_fraction, tensor_parallel)
        self.unreachable: SourceError | None = None

    @cached_property
    def opened(self) -> Source:
        """The source, found and pinned.

        Raises:
            SourceError: The source cannot be found, read, or edited as requested.
        """
        source = open_source(self.source)
        self.texts.check(source.features, self.run.edit_log_column)
        return source

    @cached_property
    def pinned_prior(self) -> tuple[PriorConfig, str]:
        """Settings of the prior with resolved commit and dtype, and the revision or fingerprint that pins it.

        Raises:
            PriorError: There is no such prior.
        """
        import torch

        from hf_toedit.priors.registry import pinned

        config, revision = pinned(self.prior)
        if config.dtype == "auto":
            # Only the device count is queried: initializing CUDA here would make it unusable in forked processes.
            on_cpu = config.device == "cpu" or (config.device == "auto" and not torch.cuda.device_count())
            config = replace(config, dtype="float32" if on_cpu else "bfloat16")
        return config, revision

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """Return the cache key, from the current source and prior, and all settings.

        If the Hub does not answer, the key depends on the request only, see `asked`.
        """
        try:
            source = self.opened
        except SourceError as error:
            if not (is_out_of_reach(error) and hub_dataset(self.source.source)):
                raise
            self.unreachable = error
            return self.asked
        # The commit of a URL list does not pin the files that it lists, but their stamps do. The name and location of
        # the source are left out, so that a copy with the same content is found in the cache.
        found = {
            "source": None,
            "revision": source.revision,
            "split": content_revision(source.splits),
            "reading": asdict(source.reading.without_places),
        }
        return f"{self.name}-{self._hash(found)}"

    @property
    def asked(self) -> str:
        """File name that identifies the request, regardless of the current state of the source."""
        return f"asked-{self._hash({})}"

    def _hash(self, source: dict[str, Any]) -> str:
        prior, prior_revision = self.pinned_prior
        facts = {
            "source": {**self.source.to_json(), **source},
            "prior": {**prior.to_json(), "revision": prior_revision, "device": None},
            "edit": {**self.edit.to_json(), **({"own": own} if (own := own_revisions(self.edit)) else {})},
            "run": self.run.to_json(),
            "version": __version__,
        }
        return content_hash(facts)[:32]
