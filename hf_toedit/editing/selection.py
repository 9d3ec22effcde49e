"""Which tokens are selected and which dropped, from their log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_toedit.config import EditConfig
from hf_toedit.editing.rules import Rule, log32, rule_of
from hf_toedit.editing.samplers import Candidates, Sampler, sampler_of
from hf_toedit.errors import UsageError
from hf_toedit.extensions import own_class, revision_of


@dataclass(frozen=True)
class SelectionRule:
    """What an editing configuration asks of a prior.

    Attributes:
        config: the settings it is drawn from.
    """

    config: EditConfig

    @classmethod
    def of(cls, config: EditConfig) -> SelectionRule:
        """Make one whose classes are there.

        Raises:
            UsageError: a class of the user's own cannot be imported, or is not what it is named as.
        """
        made = cls(config)
        _ = made.rule, made.candidates
        return made

    @cached_property
    def rule(self) -> Rule:
        """Selects tokens to resample."""
        return rule_of(self.config)

    @cached_property
    def sampler(self) -> Sampler:
        """Draws new tokens."""
        return sampler_of(self.config)

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """Tokens to resample.

        Args:
            logprobs: float32 `[n]`, natural logarithms; NaN where a token has no score.

        Returns:
            bool `[n]`; False where dropped or not scored.

        Raises:
            UsageError: a rule of the user's own does not answer with one truth value per token.
        """
        chosen = self.rule.selected(logprobs)
        if not (isinstance(chosen, np.ndarray) and chosen.dtype == bool and chosen.shape == logprobs.shape):
            raise UsageError(
                f"{type(self.rule).__name__}.selected must return an array of {len(logprobs)} truth values. "
                f"Fix the selection rule."
            )
        return chosen & ~self.dropped(logprobs) & ~np.isnan(logprobs)

    def dropped(self, logprobs: np.ndarray) -> np.ndarray:
        """Tokens to delete: p < drop_below. Same shapes as `selected`."""
        if self.config.drop_below is None:
            return np.zeros(len(logprobs), dtype=bool)
        return logprobs < log32(self.config.drop_below)

    @cached_property
    def log_at_least(self) -> np.float32 | None:
        """No token with a smaller log-probability is edited; None where that is not known, so that none is pruned."""
        if self.config.drop_below is not None or self.rule.at_least is None:
            return None
        return log32(self.rule.at_least)

    @cached_property
    def candidates(self) -> Candidates:
        """What the prior returns for a selected token."""
        return self.sampler.candidates

    @property
    def num_candidates(self) -> int:
        """Most candidates the prior returns for a selected token."""
        return self.candidates.count


def own_revisions(config: EditConfig) -> dict[str, str]:
    """What pins the classes of the user's own that a configuration names, by setting.

    Raises:
        UsageError: One cannot be imported.
    """
    return {setting: revision_of(own_class(name, setting)) for setting, name in config.own.items()}


def own_facts(config: EditConfig) -> dict[str, dict[str, str]]:
    """The same, and what these classes say of themselves, for cards that are written where they are not installed."""
    rule = SelectionRule(config)
    words = {"select": rule.rule.describe, "sampler": rule.sampler.describe}
    return {
        setting: {"words": str(words[setting]()), "revision": revision}
        for setting, revision in own_revisions(config).items()
    }
