"""Loading of a generator from the name of a prior; a backend is imported only when it is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hf_toedit.checked import checked
from hf_toedit.config import Dtype, PriorConfig, Resources
from hf_toedit.errors import UsageError
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.priors.registry import libraries, pinned

if TYPE_CHECKING:
    from hf_toedit.generation.generator import Generator


def check_generates(prior: PriorConfig) -> None:
    """Check that a prior has no settings that only editing supports.

    Raises:
        UsageError: The prior cannot generate.
    """
    if prior.is_own:
        raise UsageError(
            f"prior {prior.prior!r} is Python code that scores tokens, and does not generate. Name a folder, a Hub id "
            f"(org/name), or 'embedded'."
        )
    if prior.prune:
        raise UsageError("pruning is for edits. Leave prune out.")


def load_generator(
    prior: PriorConfig, config: GenerateConfig, resources: Resources
) -> tuple[PriorConfig, str, Generator]:
    """Load a generator, and return what pins it.

    Args:
        prior: Settings of the model.
        config: How to generate.
        resources: Resources of this machine that it may use.

    Returns:
        The settings with resolved commit and dtype; the revision of the model; and the generator.

    Raises:
        PriorError: The model cannot be found, loaded or used.
        UsageError: The backend cannot use these resources.
    """
    check_generates(prior)
    prior, revision = pinned(prior)
    with libraries():
        generator = _loaded(prior, config, resources)
    return replace(prior, dtype=checked(generator.dtype, Dtype, "dtype")), revision, generator


def _loaded(prior: PriorConfig, config: GenerateConfig, resources: Resources) -> Generator:
    if prior.backend == "vllm":
        from hf_toedit.generation.vllm import VLLMGenerator

        return VLLMGenerator(prior, config, resources)
    if resources.tensor_parallel > 1:
        raise UsageError("--tensor-parallel is for the vLLM backend. Leave it out, or use --backend vllm.")
    from hf_toedit.generation.transformers import TransformersGenerator

    return TransformersGenerator(prior, config, resources)
