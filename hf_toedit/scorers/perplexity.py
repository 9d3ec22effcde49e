"""Perplexity: the mean negative log-likelihood of a row's texts under a prior, and their number of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa

from hf_toedit.config import BaseConfig, EditConfig, PriorConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.prior import Prior
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import UsageError
from hf_toedit.priors.names import ModelName, check_prior, named_as_planned, prior_name
from hf_toedit.priors.registry import load_pinned, pinned, resolved
from hf_toedit.rows.rows import TableDraft
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.scorer import Prepared, RowScores

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

_FIELDS = {"nll": "float32", "num_tokens": "int32"}


@dataclass(frozen=True)
class PerplexityConfig(BaseConfig):
    """Perplexity under a prior.

    `nll` is the mean negative log-likelihood of the scored tokens of a row's texts, in nats; its exponential is the
    perplexity. `num_tokens` counts the tokens of the texts that were read. Both are the same as in the edit log.

    Attributes:
        prior: The language model.
        prior_revision: Commit or fingerprint of the prior; empty until the settings are pinned.
    """

    kind: ClassVar[str] = "perplexity"

    prior: PriorConfig = field(default_factory=PriorConfig)
    prior_revision: str = ""

    def __post_init__(self) -> None:
        """Validate the values and their combination."""
        super().__post_init__()
        if self.prior.prune:
            raise UsageError("a score needs every probability, so that nothing can be pruned. Leave --prune out.")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return _FIELDS

    @property
    def revision(self) -> str:
        """See `ScorerConfig`."""
        return self.prior_revision

    @property
    def own_code(self) -> dict[str, str]:
        """See `ScorerConfig`."""
        return {"prior": self.prior.prior} if self.prior.is_own else {}

    @property
    def trust_remote_code(self) -> bool:
        """See `ScorerConfig`."""
        return self.prior.trust_remote_code

    def pinned(self) -> Self:
        """See `ScorerConfig`."""
        prior, revision = pinned(self.prior)
        return replace(self, prior=prior, prior_revision=revision)

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ("prior_revision",)

    @property
    def device(self) -> str:
        """See `ScorerConfig`."""
        return self.prior.device

    @property
    def model_name(self) -> ModelName:
        """See `ScorerConfig`."""
        return prior_name(self.prior)

    def on(self, device: str) -> Self:
        """See `ScorerConfig`."""
        return replace(self, prior=replace(self.prior, device=device))

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """See `ScorerConfig`."""
        prior, revision = resolved(self.prior, machine)
        return replace(self, prior=prior, prior_revision=revision)

    def as_planned(self, planned: Self) -> Self:
        """See `ScorerConfig`."""
        prior, revision = named_as_planned(self.prior, self.prior_revision, planned.prior, planned.prior_revision)
        return replace(self, prior=prior, prior_revision=revision)

    def check_planned(self, planned: Self) -> None:
        """See `ScorerConfig`."""
        check_prior(self.prior, self.prior_revision, planned.prior, planned.prior_revision)

    def check(self, features: Features) -> None:
        """See `ScorerConfig`: it needs only texts."""

    def load(self, resources: Resources) -> tuple[Self, PerplexityScorer]:
        """See `ScorerConfig`."""
        config, revision, prior = load_pinned(self.prior, resources)
        return replace(self, prior=config, prior_revision=revision), PerplexityScorer(prior)


class PerplexityScorer:
    """Scores texts with a prior, like an editor that selects no tokens; see `Scorer`."""

    def __init__(self, prior: Prior) -> None:
        """Wrap a loaded prior.

        Args:
            prior: Scores the texts.
        """
        config = EditConfig(select="none")
        self._prior = prior
        self._rule = SelectionRule.of(config)
        self._editor = Editor(prior, config)
        self.name = prior.name
        self.concurrency = prior.concurrency
        self.batch_bytes = prior.batch_bytes

    def prepare(self, table: pa.Table, texts: Texts) -> Prepared:
        """See `Scorer`."""
        draft = TableDraft(self._editor, table, texts, log_column=None, generation=1)
        return Prepared(len(table), draft.documents, draft.num_tokens, draft)

    def score(self, prepared: Prepared) -> RowScores:
        """See `Scorer`."""
        edited = prepared.state.score().finish(logs=True)
        stats = edited.stats
        return RowScores(
            [{"nll": _float32(log["nll"]), "num_tokens": log["num_tokens"]} for log in edited.logs or ()],
            num_documents=stats.num_documents,
            num_tokens=stats.num_tokens,
            num_skipped=dict(stats.num_skipped),
            skip_reasons=stats.skip_reasons,
        )

    def read(self, documents: Sequence[Document]) -> None:
        """See `Scorer`."""
        self._prior.score(documents, self._rule)


def _float32(value: float | None) -> float | None:
    """Round a number to the type of its column."""
    return None if value is None else float(np.float32(value))
