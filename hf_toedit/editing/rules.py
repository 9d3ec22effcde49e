"""Selection rules: one class per rule, found by its name in `RULES` or as `module:Class`."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from hf_toedit.config import EditConfig
from hf_toedit.extensions import made
from hf_toedit.stats import decimal


class Rule(ABC):
    """Selects tokens to resample, each by its own log-probability alone.

    Attributes:
        config: How tokens are edited; `threshold` is for rules to use.
        selects: Whether the rule ever selects a token.
        threshold: The probability at which selection begins or ends, for pictures; None if there is no single one.
        at_least: No token with a smaller probability is selected; None if there is no such bound. Pruning needs it.
    """

    selects: bool = True
    threshold: float | None = None
    at_least: float | None = None

    def __init__(self, config: EditConfig) -> None:
        self.config = config

    @abstractmethod
    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """Return which tokens are selected.

        Args:
            logprobs: float32 `[n]`, natural logarithms, of any tokens in any order; NaN for a token without a score.

        Returns:
            bool `[n]`. The result for a token must not depend on the other tokens.
        """

    @abstractmethod
    def describe(self) -> str:
        """Describe in short which tokens are selected: `p ≥ 0.99`."""

    def describe_in_sentence(self) -> str:
        """Describe which tokens are selected, in words that follow `tokens`."""
        return f"with {self.describe()}"


class Above(Rule):
    """Selects tokens with p >= threshold (paper, section 4)."""

    def __init__(self, config: EditConfig) -> None:
        super().__init__(config)
        self.threshold = self.at_least = config.threshold
        self._bound = log32(config.threshold)

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """See `Rule`; the comparison is in float32."""
        return logprobs >= self._bound

    def describe(self) -> str:
        """See `Rule`."""
        return f"p ≥ {decimal(self.config.threshold)}"

    def describe_in_sentence(self) -> str:
        """See `Rule`."""
        return f"to which it gave a probability of at least {decimal(self.config.threshold)}"


class Below(Rule):
    """Selects tokens with p <= threshold (paper, Table 7)."""

    def __init__(self, config: EditConfig) -> None:
        super().__init__(config)
        self.threshold = config.threshold
        self._bound = log32(config.threshold)

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """See `Rule`; the comparison is in float32."""
        return logprobs <= self._bound

    def describe(self) -> str:
        """See `Rule`."""
        return f"p ≤ {decimal(self.config.threshold)}"

    def describe_in_sentence(self) -> str:
        """See `Rule`."""
        return f"to which it gave a probability of at most {decimal(self.config.threshold)}"


class Nothing(Rule):
    """Selects no token."""

    selects = False

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """See `Rule`."""
        return np.zeros(len(logprobs), dtype=bool)

    def describe(self) -> str:
        """See `Rule`."""
        return "none"


RULES: dict[str, type[Rule]] = {"above": Above, "below": Below, "none": Nothing}
"""Selection rules by name; `RuleName` in `config.py` has the same names."""


def rule_of(config: EditConfig) -> Rule:
    """Return the selection rule of a configuration.

    Raises:
        UsageError: The class does not exist, or is not a rule.
    """
    return made(config.select, RULES, Rule, "selection rule", config)  # type: ignore[type-abstract]


def log32(probability: float) -> np.float32:
    """Return the logarithm of a probability in float32, for comparison with float32 log-probabilities."""
    with np.errstate(divide="ignore"):
        return np.float32(np.log(np.float64(probability)))
