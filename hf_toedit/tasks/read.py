"""The task of reading: a prior reads texts, and only their likelihoods are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_toedit.config import EditConfig, PriorConfig, Resources
from hf_toedit.priors.names import check_prior
from hf_toedit.priors.registry import load_pinned
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import LoadedTask, RowCheck, Task
from hf_toedit.tasks.read_stats import ReadStats
from hf_toedit.tasks.with_prior import TaskWithPrior

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.rows.texts import Texts

READING = Pass("reading", 1, "the reading", writes_rows=False)


@dataclass(frozen=True)
class ReadTask(TaskWithPrior):
    """Reads texts with a prior, as before an edit, and counts them; see `ReadStats`.

    Attributes:
        prior: Settings of the prior.
        prior_revision: Revision or fingerprint that pins the prior; empty until it is resolved.
    """

    kind = "read"
    done = "read"
    statistics = ReadStats

    prior: PriorConfig
    prior_revision: str = ""

    @property
    def passes(self) -> tuple[Pass, ...]:
        """A single pass, which writes no rows; see `Task.passes`."""
        return (READING,)

    def hashed(self) -> dict[str, Any]:
        """All facts except the device; see `Task.hashed`."""
        facts = self.to_json()
        facts["prior"].pop("device")
        return {"task": facts}

    def output_features(self, features: Features, texts: Texts) -> Features:
        """Features of the source, as no rows are written; see `Task.output_features`."""
        return features

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`."""
        from hf_toedit.editing.editor import Editor
        from hf_toedit.tasks.read_rows import LoadedRead

        config, revision, prior = load_pinned(self.prior, resources)
        loaded = LoadedRead(Editor(prior, EditConfig(select="none")), None)
        return replace(self, prior=config, prior_revision=revision), loaded

    def check_loaded(self, planned: Task, own: Mapping[str, Mapping[str, str]]) -> None:
        """See `Task.check_loaded`."""
        assert isinstance(planned, ReadTask)
        check_prior(self.prior, self.prior_revision, planned.prior, planned.prior_revision)

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`; there are no rows."""
        raise NotImplementedError
