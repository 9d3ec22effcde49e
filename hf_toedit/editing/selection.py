"""Selection and deletion of tokens by their log-probabilities."""

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
    """What an editing configuration requires of a prior.

    Attributes:
        config: The configuration.
    """

    config: EditConfig

    @classmethod
    def of(cls, config: EditConfig) -> SelectionRule:
        """Create a rule after checking that its classes exist.

        Raises:
            UsageError: A user-defined class cannot be imported, or is not of the expected kind.
        """
        made = cls(config)
        _ = made.rule, made.candidates
        return made

    @cached_property
    def rule(self) -> Rule:
        """The rule that selects tokens to resample."""
        return rule_of(self.config)

    @cached_property
    def sampler(self) -> Sampler:
        """The sampler of new tokens."""
        return sampler_of(self.config)

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """Return the tokens to resample.

        Args:
            logprobs: float32 `[n]`, natural logarithms; NaN for a token without a score.

        Returns:
            bool `[n]`; False for tokens that are dropped or not scored.

        Raises:
            UsageError: A user-defined rule does not return one truth value per token.
        """
        chosen = self.rule.selected(logprobs)
        if not (isinstance(chosen, np.ndarray) and chosen.dtype == bool and chosen.shape == logprobs.shape):
            raise UsageError(
                f"{type(self.rule).__name__}.selected must return an array of {len(logprobs)} truth values. "
                f"Fix the selection rule."
            )
        return chosen & ~self.dropped(logprobs) & ~np.isnan(logprobs)

    def dropped(self, logprobs: np.ndarray) -> np.ndarray:
        """Return the tokens to delete: p < drop_below. Same shapes as `selected`."""
        if self.config.drop_below is None:
            return np.zeros(len(logprobs), dtype=bool)
        return logprobs < log32(self.config.drop_below)

    @cached_property
    def log_at_least(self) -> np.float32 | None:
        """No token with a smaller log-probability is edited; None if there is no such bound, so that none is pruned."""
        if self.config.drop_below is not None or self.rule.at_least is None:
            return None
        return log32(self.rule.at_least)

    @cached_property
    def candidates(self) -> Candidates:
        """The candidates that the prior returns for a selected token."""
        return self.sampler.candidates

    @property
    def num_candidates(self) -> int:
        """Maximum number of candidates that the prior returns for a selected token."""
        return self.candidates.count


def own_revisions(config: EditConfig) -> dict[str, str]:
    """Return what pins the user-defined classes of a configuration, by setting.

    Raises:
        UsageError: A class cannot be imported.
    """
    return {setting: revision_of(own_class(name, setting)) for setting, name in config.own.items()}


def own_facts(config: EditConfig) -> dict[str, dict[str, str]]:
    """Return revisions and descriptions of user-defined classes, for cards written where they are not installed."""
    rule = SelectionRule(config)
    words = {"select": rule.rule.describe, "sampler": rule.sampler.describe}
    return {
        setting: {"words": str(words[setting]()), "revision": revision}
        for setting, revision in own_revisions(config).items()
    }
