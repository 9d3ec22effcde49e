"""What is behind the public names of the package."""

from __future__ import annotations

from typing import Any

from hf_toedit.config import Backend, Dtype, EditConfig, PriorConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.priors.fit import check_draw
from hf_toedit.priors.registry import load_prior


class ToEditor(Editor):
    """Edits texts: tokens that the prior finds too easy are drawn again, everything else stays as it was.

    Example:
        >>> editor = ToEditor.from_pretrained("embedded", seed=1)
        >>> result = editor.edit(["Once upon a time there was a little girl."])
        >>> result.revert()
        ['Once upon a time there was a little girl.']
    """

    @classmethod
    def from_pretrained(
        cls,
        prior: str = "embedded",
        *,
        revision: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        backend: Backend = "transformers",
        preset: str = "toedit",
        **config: Any,
    ) -> ToEditor:
        """Load a prior by name and make an editor.

        Args:
            prior: `embedded`, a local folder, or a Hub id.
            revision: see `PriorConfig`, as are `dtype`, `device`, `trust_remote_code` and `backend`.
            dtype: of the model's body.
            device: where it runs.
            trust_remote_code: let the model's repository run its own code.
            backend: the library that runs the model, `transformers` or `vllm`.
            preset: see `PRESETS`.
            **config: settings of `EditConfig`.

        Raises:
            PriorError: the prior cannot be loaded.
            UsageError: a setting is unknown or out of range.
        """
        prior_config = PriorConfig(prior, revision, dtype, device, trust_remote_code, backend)
        edit_config = EditConfig.from_preset(preset, **config)
        check_draw(prior_config, edit_config)
        return cls(load_prior(prior_config), edit_config)
