"""Priors by name. No torch: a backend is imported when it is asked for."""

from __future__ import annotations

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.editing.prior import Prior
from hf_toedit.errors import UsageError


def load_prior(config: PriorConfig, resources: Resources | None = None) -> Prior:
    """Load a prior by its settings.

    Args:
        config: which model, where it runs, in which dtype.
        resources: what it may use of this machine; None is the defaults.

    Raises:
        PriorError: it cannot be found, loaded or used.
        UsageError: the backend cannot use such resources; or there is no such class.
    """
    resources = resources or Resources()
    if config.is_own:
        from hf_toedit.priors.own import load_own

        return load_own(config, resources)
    if config.backend == "vllm":
        from hf_toedit.priors.vllm import VLLMPrior

        return VLLMPrior(config, resources)
    if resources.tensor_parallel > 1:
        raise UsageError("--tensor-parallel is for the vLLM backend. Leave it out, or say --backend vllm.")
    from hf_toedit.priors.transformers import TransformersPrior

    return TransformersPrior.from_config(config, resources)
