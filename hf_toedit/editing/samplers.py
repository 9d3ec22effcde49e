"""Samplers: one class each, found by its name in `SAMPLERS` or as `module:Class`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_toedit.config import EditConfig
from hf_toedit.errors import UsageError
from hf_toedit.extensions import made
from hf_toedit.stats import decimal

Uniforms = Callable[[int], np.ndarray]
"""Number `i` of the uniforms of each selected token; float64 `[m]` in [0, 1). They depend on nothing but the seed, the
generation, the document's text and the token's position."""

MAX_NUCLEUS = 1024
"""Most candidates a top-p nucleus holds; bounds memory where a prior is unsure."""

_MAX_ROUNDS = 10_000


@dataclass(frozen=True)
class Candidates:
    """What a sampler needs of the prior for each selected token: its likeliest tokens there.

    Attributes:
        count: How many of them at most.
        mass: Only those before which less than this share of the probability is; None is all `count`.
        temperature: Divides log-probabilities before the mass is summed.
    """

    count: int
    mass: float | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1 or not (self.mass is None or 0 < self.mass <= 1) or self.temperature <= 0:
            raise UsageError(f"no prior can answer with {self}. Fix the candidates of the sampler.")


class Sampler(ABC):
    """Draws a new token for each selected one, from the prior's candidates.

    Attributes:
        config: How tokens are edited; `top_k`, `top_p` and `temperature` are for samplers to use.
        settings: The settings of `EditConfig` that decide its draws, for cards.
    """

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: EditConfig) -> None:
        self.config = config

    @property
    @abstractmethod
    def candidates(self) -> Candidates:
        """What it needs of the prior."""

    @abstractmethod
    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """Draw one candidate for each of `m` selected tokens.

        Args:
            logprobs: float64 `[m, k]`, likeliest first; -inf for padding and for candidates that cannot be in the text.
            uniforms: Random numbers; take no others.

        Returns:
            int `[m]`: the column drawn in each row. Where its log-probability is -inf, the token stays.
        """

    @abstractmethod
    def describe(self) -> str:
        """What tokens are drawn from, as the end of a sentence: `its 8 likeliest tokens at temperature 1.5`."""


class TopK(Sampler):
    """A candidate of the top k, by its tempered probability (paper, equation 1)."""

    settings = ("top_k", "temperature")

    @property
    def candidates(self) -> Candidates:
        """See `Sampler`."""
        return Candidates(self.config.top_k)

    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """See `Sampler`: the inverse of the cumulative distribution."""
        weights = _weights(logprobs, self.config.temperature)
        cumulative = np.cumsum(weights, axis=1)
        goal = uniforms(0)[:, None] * cumulative[:, -1:]
        column = (cumulative <= goal).sum(axis=1)
        # Rounding may place the goal on the total itself: the last candidate with any weight is the answer then.
        last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
        return np.minimum(column, last)

    def describe(self) -> str:
        """See `Sampler`."""
        return f"its {self._likeliest} at temperature {decimal(self.config.temperature)}"

    @property
    def _likeliest(self) -> str:
        count = self.config.top_k
        return "likeliest token" if count == 1 else f"{count:,} likeliest tokens"


class TopP(TopK):
    """The same of the nucleus: the likeliest candidates that together hold `top_p` of the probability (Table 5)."""

    settings = ("top_p", "temperature")

    @property
    def candidates(self) -> Candidates:
        """See `Sampler`."""
        return Candidates(MAX_NUCLEUS, self.config.top_p, self.config.temperature)

    def describe(self) -> str:
        """See `Sampler`."""
        return (
            f"its likeliest tokens that hold {decimal(self.config.top_p)} of the probability, at temperature "
            f"{decimal(self.config.temperature)}"
        )


class Rejection(TopK):
    """Statistical rejection sampling: propose a candidate uniformly, accept with its weight, at most 1 (Table 5)."""

    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """See `Sampler`."""
        weights = _weights(logprobs, self.config.temperature)
        allowed = np.isfinite(logprobs)
        column = np.argmax(weights, axis=1)
        open_rows = np.flatnonzero(allowed.any(axis=1))
        # Column numbers with the allowed ones first, so that a uniform picks among those only.
        ranked = np.argsort(~allowed, axis=1, kind="stable")
        for attempt in range(_MAX_ROUNDS):
            if len(open_rows) == 0:
                break
            proposal = uniforms(2 * attempt + 1)[open_rows]
            choice = (proposal * allowed[open_rows].sum(axis=1)).astype(np.int64)
            proposed = ranked[open_rows, choice]
            accepted = uniforms(2 * attempt + 2)[open_rows] < weights[open_rows, proposed]
            column[open_rows[accepted]] = proposed[accepted]
            open_rows = open_rows[~accepted]
        return column

    def describe(self) -> str:
        """See `Sampler`."""
        return f"its {self._likeliest} by rejection sampling at temperature {decimal(self.config.temperature)}"


SAMPLERS: dict[str, type[Sampler]] = {"top-k": TopK, "top-p": TopP, "rejection": Rejection}
"""Samplers by name; `SamplerName` in `config.py` has the same names."""


def sampler_of(config: EditConfig) -> Sampler:
    """The sampler that a configuration names.

    Raises:
        UsageError: It names a class that is not there, or not a sampler.
    """
    return made(config.sampler, SAMPLERS, Sampler, "sampler", config)  # type: ignore[type-abstract]


def _weights(logprobs: np.ndarray, temperature: float) -> np.ndarray:
    """exp((logp - max) / temperature) where a candidate is allowed, else 0."""
    top = logprobs.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(logprobs), np.exp((logprobs - top) / temperature), 0.0)
