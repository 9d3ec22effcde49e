"""`ToEditor`: an editor whose prior is loaded by name."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from hf_toedit.config import Backend, Dtype, EditConfig, EditSettings, PriorConfig, Resources
from hf_toedit.editing.editor import Editor
from hf_toedit.priors.fit import check_draw
from hf_toedit.priors.registry import load_prior
from hf_toedit.settings import check_known

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ToEditor(Editor):
    """Editor that resamples tokens which the prior finds too easy, and leaves all other text unchanged.

    Examples:
        >>> editor = ToEditor.from_pretrained("embedded", seed=1)
        >>> result = editor.edit(["Once upon a time there was a little girl."])
        >>> result.revert()
        ['Once upon a time there was a little girl.']
    """

    @classmethod
    def from_pretrained(
        cls,
        prior: str | PathLike[str] = "embedded",
        *,
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
    ) -> ToEditor:
        """Load a prior by name and create an editor.

        Args:
            prior: `embedded`, a local folder, or a Hub id.
            prior_revision: Branch, tag or commit of a Hub prior.
            dtype: Data type of the prior's weights; `auto` is float32 on a CPU and bfloat16 on a GPU.
            device: Device of the prior: `auto`, `cpu`, `cuda`, `cuda:1`, ….
            trust_remote_code: Allow the prior's repository to run its own code.
            backend: The library that runs the prior, `transformers` or `vllm`.
            prune: Skip full logits for tokens that cannot be selected: same edits, sampled statistics.
            token_budget: Target number of tokens per forward pass; results do not depend on it.
            memory_fraction: Share of a GPU's memory that may be used.
            tensor_parallel: Number of GPUs that share one copy of the prior; vLLM backend only.
            preset: One of `PRESETS`.
            **edit: Fields of `EditConfig`; they override the preset.

        Raises:
            PriorError: The prior cannot be loaded.
            UsageError: A setting is unknown or out of range.
        """
        check_known(edit, cls.from_pretrained)
        config = PriorConfig(prior, prior_revision, dtype, device, trust_remote_code, backend, prune)  # type: ignore[arg-type]
        edit_config = EditConfig.from_preset(preset, **edit)
        check_draw(config, edit_config)
        return cls(load_prior(config, Resources(token_budget, memory_fraction, tensor_parallel)), edit_config)
