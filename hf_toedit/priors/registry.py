"""Loading of priors by name. Imports no torch: a backend is imported when it is requested."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from hf_toedit.checked import checked
from hf_toedit.config import Dtype, PriorConfig, Resources
from hf_toedit.editing.prior import Prior
from hf_toedit.errors import PriorError, UsageError

_LIBRARIES = ("torch", "transformers")
"""Libraries that run models. Everything that needs no model works without them."""


def load_prior(config: PriorConfig, resources: Resources | None = None) -> Prior:
    """Load a prior by its settings.

    Args:
        config: Which model, on which device, in which dtype.
        resources: Machine resources that it may use; None is the defaults.

    Raises:
        PriorError: The prior cannot be found, loaded or used.
        UsageError: The backend cannot use such resources, or there is no such class.
    """
    resources = resources or Resources()
    with libraries():
        if config.is_own:
            from hf_toedit.priors.own import load_own

            return load_own(config, resources)
        if config.backend == "vllm":
            from hf_toedit.priors.vllm import VLLMPrior

            return VLLMPrior(config, resources)
        if resources.tensor_parallel > 1:
            raise UsageError("--tensor-parallel is for the vLLM backend. Leave it out, or use --backend vllm.")
        from hf_toedit.priors.transformers import TransformersPrior

        return TransformersPrior.from_config(config, resources)


def load_pinned(config: PriorConfig, resources: Resources) -> tuple[PriorConfig, str, Prior]:
    """Load a prior, and return its resolved settings.

    Args:
        config: Settings of the prior.
        resources: Machine resources that it may use.

    Returns:
        The settings, with commit and dtype resolved; what pins the prior; and the prior.

    Raises:
        PriorError, UsageError: As in `load_prior`.
    """
    config, revision = pinned(config)
    prior = load_prior(config, resources)
    return replace(config, dtype=checked(prior.dtype, Dtype, "dtype")), revision, prior


def pinned(config: PriorConfig) -> tuple[PriorConfig, str]:
    """Return the settings of a prior with its commit resolved, and what pins it; see `priors/loading.py`.

    Raises:
        PriorError: The prior cannot be found.
    """
    with libraries():
        from hf_toedit.priors import loading

        return loading.pinned(config)


def resolved(config: PriorConfig, machine: Literal["cpu", "cuda"] | None = None) -> tuple[PriorConfig, str]:
    """Return the pinned settings of a prior with its dtype resolved, and what pins it.

    Args:
        config: Settings of the prior.
        machine: Type of machine that it runs on, if its device does not specify it; None is this one.

    Raises:
        PriorError: The prior cannot be found.
    """
    with libraries():
        from hf_toedit.priors import loading

        if machine is None:
            return loading.resolved(config)
        config, revision = loading.pinned(config)
        kind = "cpu" if config.device == "cpu" else machine
        return replace(config, dtype=loading.dtype_on(config.dtype, kind)), revision


@contextmanager
def libraries() -> Iterator[None]:
    """Report in one line that a library that runs models is not installed.

    Raises:
        PriorError: A library is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        raise PriorError(
            f"this needs {error.name}, which is not installed. Install it: pip install {error.name}"
        ) from error
