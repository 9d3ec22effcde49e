"""Which tokens are selected and which dropped, from their log-probabilities; which spans are protected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_toedit.config import EditConfig, protect_regex

MAX_NUCLEUS = 1024
"""Most candidates a top-p nucleus holds; bounds memory where a prior is unsure."""


@dataclass(frozen=True)
class SelectionRule:
    """What an editing configuration asks of a prior.

    Attributes:
        config: the settings it is drawn from.
    """

    config: EditConfig

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        """Tokens to draw again: p >= threshold, or p <= threshold (paper, section 4 and Table 7).

        Args:
            logprobs: float32 `[n]`, natural logarithms; NaN where a token has no score.

        Returns:
            bool `[n]`; False where dropped or not scored. The comparison is in float32.
        """
        if self.config.select == "none":
            return np.zeros(len(logprobs), dtype=bool)
        if self.config.select == "above":
            chosen = logprobs >= self.log_threshold
        else:
            chosen = logprobs <= self.log_threshold
        return chosen & ~self.dropped(logprobs)

    def dropped(self, logprobs: np.ndarray) -> np.ndarray:
        """Tokens to delete: p < drop_below. Same shapes as `selected`."""
        if self.config.drop_below is None:
            return np.zeros(len(logprobs), dtype=bool)
        return logprobs < _log32(self.config.drop_below)

    @cached_property
    def log_threshold(self) -> np.float32:
        """What log-probabilities are held against."""
        return _log32(self.config.threshold)

    @property
    def num_candidates(self) -> int:
        """Most candidates the prior returns for a selected token."""
        return MAX_NUCLEUS if self.config.sampler == "top-p" else self.config.top_k


class Protector:
    """Finds the spans of a text that must not be edited."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        """Compile the patterns; see `EditConfig.protect`."""
        self._patterns: list[re.Pattern[str]] = [protect_regex(pattern) for pattern in patterns]

    def protected(self, text: str, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Which character spans touch a protected one, or stand right beside it.

        Args:
            text: the document.
            starts: int `[n]`, first character of each span.
            ends: int `[n]`, one past its last character.

        Returns:
            bool `[n]`.
        """
        touched = np.zeros(len(starts), dtype=bool)
        if not self._patterns:
            return touched
        # A prefix count of protected characters answers "any inside this span?" for all spans at once.
        inside = np.zeros(len(text) + 1, dtype=np.int64)
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                if match.start() == match.end():
                    continue
                # One character more on either side: a new token must not grow what it stands beside ("5" to "50").
                inside[max(match.start(), 1) : match.end() + 2] = 1
        counts = np.cumsum(inside)
        return counts[ends] > counts[starts]


def _log32(probability: float) -> np.float32:
    with np.errstate(divide="ignore"):
        return np.float32(np.log(np.float64(probability)))
