"""Names of models, and checks that a loaded model is the planned one. Nothing is loaded here."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError
from hf_toedit.priors.pinning import is_same_prior

EMBEDDED = "embedded"
"""The prior that is included in this package."""

TOY = "the embedded prior is a toy for a first try: its edits are not representative of a real prior"
"""Warning about the embedded prior."""

REAL_PRIORS = "HuggingFaceTB/SmolLM2-135M, which is fast on a CPU, or meta-llama/Meta-Llama-3-8B, the paper's, on a GPU"
"""Recommended priors."""


class ModelName(NamedTuple):
    """A model by name.

    Attributes:
        name: `embedded`, a folder, or a Hub id.
        commit: Commit of a Hub model; None for any other.
        is_local: Whether it exists only on this machine.
    """

    name: str
    commit: str | None
    is_local: bool


def prior_name(prior: PriorConfig) -> ModelName:
    """Return the model of a prior."""
    return ModelName(prior.prior, prior.revision, prior.revision is None and prior.prior != EMBEDDED)


def named_as_planned(
    prior: PriorConfig, revision: str, planned: PriorConfig, planned_revision: str
) -> tuple[PriorConfig, str]:
    """Return a prior and what pins it, named as in a plan if it is the same model, such as a copy elsewhere.

    Args:
        prior: The requested prior.
        revision: What pins it.
        planned: The plan's prior.
        planned_revision: What pins the plan's prior.
    """
    if not is_same_prior(prior, revision, planned_revision):
        return prior, revision
    return replace(prior, prior=planned.prior), planned_revision


def check_prior(prior: PriorConfig, revision: str, planned: PriorConfig, planned_revision: str) -> None:
    """Refuse a prior that differs from the planned one.

    Args:
        prior: The prior that was loaded.
        revision: What pins it.
        planned: The plan's prior.
        planned_revision: What pins the plan's prior.

    Raises:
        PriorError: The priors differ.
    """
    is_same = is_same_prior(prior, revision, planned_revision)
    if is_same and prior.dtype == planned.dtype:
        return
    is_of_package = planned.prior == EMBEDDED and not is_same
    restore = "Install the version of hf-toedit that has it" if is_of_package else "Restore the old one"
    raise PriorError(
        f"prior {planned.prior!r} is not the one that was planned: {prior.dtype} at {revision}, not "
        f"{planned.dtype} at {planned_revision}. {restore}, or plan a new run."
    )
