"""Length: the number of tokens in the text of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hf_toedit.errors import PriorError
from hf_toedit.features.ngrams import words
from hf_toedit.priors.names import ModelName
from hf_toedit.priors.registry import libraries
from hf_toedit.scorers.scorer import Score
from hf_toedit.scorers.without_model import TextScorer, WithoutModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

_FIELDS = {"num_tokens": "int32"}


@dataclass(frozen=True)
class LengthConfig(WithoutModelConfig):
    """The number of tokens in a text, without special tokens.

    Attributes:
        tokenizer: Model whose tokenizer to use: a folder, a Hub id, or `embedded`; None counts words (see
            `features.ngrams`).
        commit: Commit of a Hub model.
        revision: Commit or fingerprint of the model; empty until the settings are pinned, and for words.
    """

    kind: ClassVar[str] = "length"

    tokenizer: str | None = None
    commit: str | None = None
    revision: str = ""

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return _FIELDS

    def pinned(self) -> Self:
        """See `ScorerConfig`."""
        if self.tokenizer is None:
            return self
        with libraries():
            from hf_toedit.priors.loading import locate_tokenizer

            location, revision = locate_tokenizer(self.tokenizer, self.commit, False)
        return replace(self, commit=None if Path(location).is_dir() else revision, revision=revision)

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ("revision", "commit")

    @property
    def model_name(self) -> ModelName | None:
        """See `ScorerConfig`: None, because only a tokenizer is loaded."""
        return None

    def as_planned(self, planned: Self) -> Self:
        """See `ScorerConfig`."""
        return replace(self, tokenizer=planned.tokenizer) if self.revision == planned.revision else self

    def check_planned(self, planned: Self) -> None:
        """See `ScorerConfig`."""
        if self.revision != planned.revision:
            raise PriorError(
                f"tokenizer {planned.tokenizer!r} is not the one that was planned: {self.revision}, not "
                f"{planned.revision}. Restore the old one, or plan a new run."
            )

    def scorer(self) -> LengthScorer:
        """See `WithoutModelConfig`."""
        if self.tokenizer is None:
            return LengthScorer(None)
        with libraries():
            from hf_toedit.priors.loading import load_tokenizer

            return LengthScorer(load_tokenizer(self.tokenizer, self.commit, False))


class LengthScorer(TextScorer):
    """Counts tokens; see `Scorer`."""

    name = "length"
    fields = tuple(_FIELDS)

    def __init__(self, tokenizer: Any) -> None:
        """Store the tokenizer.

        Args:
            tokenizer: A tokenizer of `tokenizers`; None for words.
        """
        self._tokenizer = tokenizer

    def values(self, texts: Sequence[str]) -> list[dict[str, Score]]:
        """See `TextScorer`."""
        if self._tokenizer is None:
            return [{"num_tokens": len(words(text))} for text in texts]
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [{"num_tokens": len(encoding.ids)} for encoding in found]
