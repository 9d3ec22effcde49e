"""Base class of tasks whose model is a prior."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hf_toedit.config import PriorConfig
from hf_toedit.priors.names import ModelName, named_as_planned, prior_name
from hf_toedit.priors.registry import resolved
from hf_toedit.runs.task import Consequence, Task

if TYPE_CHECKING:
    from typing_extensions import Self


class TaskWithPrior(Task):
    """A task whose model is a prior; a subclass is a dataclass with these fields.

    Attributes:
        prior: Settings of the prior.
        prior_revision: Revision or fingerprint that pins the prior; empty until it is resolved.
    """

    prior: PriorConfig
    prior_revision: str

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """See `Task.resolved`."""
        prior, revision = resolved(self.prior, machine)
        return self._with(prior, revision)

    def as_planned(self, planned: Task) -> Self:
        """See `Task.as_planned`."""
        if not isinstance(planned, TaskWithPrior) or type(planned) is not type(self):
            return self
        return self._with(*named_as_planned(self.prior, self.prior_revision, planned.prior, planned.prior_revision))

    def _with(self, prior: PriorConfig, revision: str) -> Self:
        return replace(self, prior=prior, prior_revision=revision)  # type: ignore[type-var]

    @property
    def device(self) -> str:
        """See `Task.device`."""
        return self.prior.device

    def on(self, device: str) -> Self:
        """See `Task.on`."""
        return self._with(replace(self.prior, device=device), self.prior_revision)

    @property
    def model(self) -> ModelName:
        """See `Task.model`."""
        return prior_name(self.prior)

    @property
    def revisions(self) -> dict[str, str]:
        """See `Task.revisions`."""
        return {"prior_revision": self.prior_revision}

    @property
    def model_words(self) -> str:
        """See `Task.model_words`."""
        return f"prior {self.prior.prior} in {self.prior.dtype}"

    @property
    def trust_remote_code(self) -> bool:
        """See `Task.trust_remote_code`."""
        return self.prior.trust_remote_code

    @property
    def consequences(self) -> tuple[Consequence, ...]:
        """See `Task.consequences`."""
        return ((("prior_revision",), ("prior.prior", "prior.revision"), "the files of the prior differ"),)

    def option(self, name: str) -> str | None:
        """See `Task.option`."""
        return "--prior-revision" if name == "prior.revision" else None
