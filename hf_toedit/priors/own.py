"""User-defined priors, named `module:Class`: imported if allowed, created, checked and pinned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer

from hf_toedit.checked import checked
from hf_toedit.config import Dtype, PriorConfig, Resources
from hf_toedit.editing.prior import Prior
from hf_toedit.errors import PriorError, ToEditError, reason
from hf_toedit.extensions import own_class, revision_of

_NEEDED = (*Prior.__annotations__, "score", "render")


def load_own(config: PriorConfig, resources: Resources) -> Prior:
    """Create a user-defined prior: its class is called with its settings and the resources that it may use.

    Raises:
        PriorError: The prior cannot be created, or lacks a part of `Prior`.
        UsageError: There is no such class.
    """
    cls = own_class(config.prior, "prior")
    try:
        prior: Any = cls(config, resources)
    except ToEditError:
        raise
    except Exception as error:
        raise PriorError(f"prior {config.prior!r} cannot be made ({reason(error)}). Fix its class.") from error
    missing = [name for name in _NEEDED if not hasattr(prior, name)]
    if missing:
        raise PriorError(
            f"prior {config.prior!r} has no {', '.join(missing)}. Derive it from hf_toedit.editing.prior.BasePrior, or "
            f"add what is missing."
        )
    if not isinstance(prior.tokenizer, Tokenizer):
        raise PriorError(
            f"the tokenizer of prior {config.prior!r} must be a tokenizers.Tokenizer, not "
            f"{type(prior.tokenizer).__name__}. Of a fast tokenizer of transformers, use its backend_tokenizer."
        )
    return prior


def pinned_own(config: PriorConfig) -> tuple[PriorConfig, str]:
    """Return the settings of a user-defined prior and what pins it; its class is imported but not instantiated.

    The dtype is that of its class, if the class defines one.

    Raises:
        UsageError: There is no such class.
    """
    cls = own_class(config.prior, "prior")
    dtype = getattr(cls, "dtype", None)
    if isinstance(dtype, str):
        config = replace(config, dtype=checked(dtype, Dtype, "dtype"))
    return config, revision_of(cls)
