"""Models by name, and whether one that was loaded is the one that was planned. Nothing is loaded here."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError
from hf_toedit.priors.pinning import is_same_prior

EMBEDDED = "embedded"
"""The prior that comes with this package."""

TOY = "the embedded prior is a toy for a first try: its edits are not representative of a real prior"
"""What to know of it."""

REAL_PRIORS = "HuggingFaceTB/SmolLM2-135M, which is fast on a CPU, or meta-llama/Meta-Llama-3-8B, the paper's, on a GPU"
"""What to use instead."""


class ModelName(NamedTuple):
    """A model by name.

    Attributes:
        name: `embedded`, a folder, or a Hub id.
        commit: of a Hub model; None of any other.
        is_local: whether it lies on this machine only.
    """

    name: str
    commit: str | None
    is_local: bool


def prior_name(prior: PriorConfig) -> ModelName:
    """The model that a prior is."""
    return ModelName(prior.prior, prior.revision, prior.revision is None and prior.prior != EMBEDDED)


def named_as_planned(
    prior: PriorConfig, revision: str, planned: PriorConfig, planned_revision: str
) -> tuple[PriorConfig, str]:
    """A prior and what pins it, named as in a plan where it is the same model: a copy elsewhere, for one.

    Args:
        prior: as it is asked for.
        revision: pins it.
        planned: of the plan.
        planned_revision: pins that.
    """
    if not is_same_prior(prior, revision, planned_revision):
        return prior, revision
    return replace(prior, prior=planned.prior), planned_revision


def check_prior(prior: PriorConfig, revision: str, planned: PriorConfig, planned_revision: str) -> None:
    """Refuse another prior than was planned.

    Args:
        prior: as it was loaded here.
        revision: pins it.
        planned: of the plan.
        planned_revision: pins that.

    Raises:
        PriorError: they differ.
    """
    if not is_same_prior(prior, revision, planned_revision) or prior.dtype != planned.dtype:
        raise PriorError(
            f"prior {planned.prior!r} is not the one that was planned: {prior.dtype} at {revision}, not "
            f"{planned.dtype} at {planned_revision}. Restore the old one, or plan a new run."
        )
