"""Settings of a sequence classifier; does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from hf_toedit.checked import Names
from hf_toedit.config import BaseConfig, Device, Dtype, Resources
from hf_toedit.errors import PriorError, UsageError, did_you_mean
from hf_toedit.priors.names import ModelName
from hf_toedit.priors.registry import libraries

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.scorers.classifier_model import ClassifierScorer, FoundClassifier


@dataclass(frozen=True)
class ClassifierConfig(BaseConfig):
    """A model for sequence classification or regression; its fields are its labels, and the values its logits.

    The text of a row is its context and its texts, with a blank line between them; conversations are rendered with the
    model's chat template, if it has one. A text that is longer than the model's context is split into consecutive
    windows,
    and its logits are the means over the windows, weighted by their tokens.

    Attributes:
        model: A local folder, or a Hub model id, such as `HuggingFaceFW/fineweb-edu-classifier`.
        model_revision: Branch, tag or commit of a Hub model; pinned to a commit sha.
        dtype: Dtype of the weights; `auto` is float32 on CPU and bfloat16 on GPU. Logits are float32.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ….
        trust_remote_code: Whether the Python code of the model's repository may run here.
        labels: The labels to keep, in this order; empty for all, which pinning then fills in.
        truncate: Score only the first window, as `tokenizer(text, truncation=True)` does; FineWeb-Edu's published
            scores are computed this way.
        revision: Commit or fingerprint of the model; empty until the settings are pinned.
    """

    kind: ClassVar[str] = "classifier"

    model: str
    model_revision: str | None = None
    dtype: Dtype = "auto"
    device: Device = "auto"
    trust_remote_code: bool = False
    labels: Names = ()
    truncate: bool = False
    revision: str = ""

    def __post_init__(self) -> None:
        """Validate the values."""
        super().__post_init__()
        if not self.model.strip():
            raise UsageError("the classifier has no name. Name a folder or a Hub id (org/name).")
        for label in self.labels:
            if self.labels.count(label) > 1:
                raise UsageError(f"label {label!r} is named twice. Name it once.")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return dict.fromkeys(self.labels, "float32")

    @property
    def own_code(self) -> dict[str, str]:
        """See `ScorerConfig`."""
        return {}

    def pinned(self) -> Self:
        """See `ScorerConfig`.

        Raises:
            UsageError: The model has no such label.
        """
        return self._found()[0]

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ("revision",)

    @property
    def model_name(self) -> ModelName:
        """See `ScorerConfig`."""
        return ModelName(self.model, self.model_revision, self.model_revision is None)

    def on(self, device: str) -> Self:
        """See `ScorerConfig`."""
        return replace(self, device=device)

    def resolved(self, machine: Literal["cpu", "cuda"] | None = None) -> Self:
        """See `ScorerConfig`."""
        config = self.pinned()
        with libraries():
            from hf_toedit.priors.loading import device_of, dtype_on

            kind = "cpu" if self.device == "cpu" else machine or device_of(self.device).type
            return replace(config, dtype=dtype_on(self.dtype, kind))

    def as_planned(self, planned: Self) -> Self:
        """See `ScorerConfig`."""
        is_same = self.revision == planned.revision and self.model_revision is planned.model_revision is None
        return replace(self, model=planned.model) if is_same else self

    def check_planned(self, planned: Self) -> None:
        """See `ScorerConfig`."""
        if (self.revision, self.dtype) != (planned.revision, planned.dtype):
            raise PriorError(
                f"classifier {planned.model!r} is not the one that was planned: {self.dtype} at {self.revision}, not "
                f"{planned.dtype} at {planned.revision}. Restore the old one, or plan a new run."
            )

    def check(self, features: Features) -> None:
        """See `ScorerConfig`: it needs only texts."""

    def load(self, resources: Resources) -> tuple[Self, ClassifierScorer]:
        """See `ScorerConfig`."""
        config, found = self._found()
        with libraries():
            from hf_toedit.scorers.classifier_model import ClassifierScorer

            scorer = ClassifierScorer.load(found, config.labels, self.truncate, self.dtype, self.device, resources)
        return replace(config, dtype=scorer.dtype), scorer

    def _found(self) -> tuple[Self, FoundClassifier]:
        """Return the pinned settings, and the classifier that they name."""
        with libraries():
            from hf_toedit.scorers.classifier_model import find

            found = find(self.model, self.model_revision, self.trust_remote_code)
        for label in self.labels:
            if label not in found.labels:
                raise UsageError(
                    f"classifier {self.model!r} has no label {label!r}.{did_you_mean(label, found.labels)}"
                )
        labels = self.labels or found.labels
        return replace(self, model_revision=found.commit, labels=labels, revision=found.revision), found
