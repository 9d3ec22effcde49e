"""Samplers: one class per sampler, found by its name in `SAMPLERS` or as `module:Class`."""

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
"""Returns number `i` of the uniforms of each selected token; float64 `[m]` in [0, 1). They depend only on the seed, the
generation, the document's text and the token's position."""

MAX_NUCLEUS = 1024
"""Maximum number of candidates in a top-p nucleus; bounds memory if a prior is unsure."""

_MAX_ROUNDS = 10_000


@dataclass(frozen=True)
class Candidates:
    """What a sampler needs from the prior for each selected token: its likeliest tokens there.

    Attributes:
        count: Maximum number of candidates.
        mass: Only include candidates before which less than this share of the probability is; None is all `count`.
        temperature: Divides log-probabilities before the mass is summed.
    """

    count: int
    mass: float | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1 or not (self.mass is None or 0 < self.mass <= 1) or self.temperature <= 0:
            raise UsageError(f"no prior can answer with {self}. Fix the candidates of the sampler.")


class Sampler(ABC):
    """Samples a new token for each selected one, from the prior's candidates.

    Attributes:
        config: How tokens are edited; `top_k`, `top_p` and `temperature` are for samplers to use.
        settings: The settings of `EditConfig` that affect its samples, for cards.
    """

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: EditConfig) -> None:
        self.config = config

    @property
    @abstractmethod
    def candidates(self) -> Candidates:
        """The candidates that it needs from the prior."""

    @abstractmethod
    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """Sample one candidate for each of `m` selected tokens.

        Args:
            logprobs: float64 `[m, k]`, likeliest first; -inf for padding and for candidates that are not allowed.
            uniforms: Random numbers; use no others.

        Returns:
            int `[m]`: the sampled column of each row. If its log-probability is -inf, the token is unchanged.
        """

    @abstractmethod
    def describe(self) -> str:
        """Describe the source of samples, as the end of a sentence: `its 8 likeliest tokens at temperature 1.5`."""


class TopK(Sampler):
    """Samples a candidate of the top k by its tempered probability (paper, equation 1)."""

    settings = ("top_k", "temperature")

    @property
    def candidates(self) -> Candidates:
        """See `Sampler`."""
        return Candidates(self.config.top_k)

    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """See `Sampler`; inverts the cumulative distribution."""
        weights = _weights(logprobs, self.config.temperature)
        cumulative = np.cumsum(weights, axis=1)
        goal = uniforms(0)[:, None] * cumulative[:, -1:]
        column = (cumulative <= goal).sum(axis=1)
        # Rounding may place the goal on the total itself: then use the last candidate with any weight.
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
    """Samples from the nucleus: the likeliest candidates that together have `top_p` of the probability (Table 5)."""

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
    """Statistical rejection sampling: proposes candidates uniformly, accepts with their weight, at most 1 (Table 5)."""

    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """See `Sampler`."""
        weights = _weights(logprobs, self.config.temperature)
        allowed = np.isfinite(logprobs)
        column = np.argmax(weights, axis=1)
        open_rows = np.flatnonzero(allowed.any(axis=1))
        # Column numbers with the allowed ones first, so that a uniform picks only among those.
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
    """Return the sampler of a configuration.

    Raises:
        UsageError: The class does not exist, or is not a sampler.
    """
    return made(config.sampler, SAMPLERS, Sampler, "sampler", config)  # type: ignore[type-abstract]


def _weights(logprobs: np.ndarray, temperature: float) -> np.ndarray:
    """Return exp((logp - max) / temperature) for allowed candidates, else 0."""
    top = logprobs.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(logprobs), np.exp((logprobs - top) / temperature), 0.0)
