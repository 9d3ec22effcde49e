"""Statistics of generation: tokens read and generated, reasons for the end of candidates, and their likelihood."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.mergeable import Count, Statistics, ratio
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.stats import NANO

if TYPE_CHECKING:
    from hf_toedit.generation.generator import Continuation, Prompt

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of candidate lengths in reports."""

_MOST_NLL = 700.0
"""Nats per token; the exponential of a larger value overflows a float."""


@dataclass
class GenerateStats(Statistics):
    """Counts of candidates over any number of rows, in addition to the attributes of `Statistics`.

    Attributes:
        num_tokens: Tokens of prompts and candidates.
        num_chats: Rows whose prompt is written by the model's chat template.
        num_prompt_tokens: Tokens of the prompts, including BOS; each prompt counts once.
        num_candidates: Number of candidates.
        num_generated: Tokens of the candidates, including those that end them.
        num_characters: Characters of the candidates.
        nll_nano: Sum over the generated tokens of their negative log-likelihoods under the model at temperature 1, in
            1e-9 nats; the sum of each candidate is rounded to 1e-9.
        stops: Number of candidates by the reason for their end: `eos`, `limit` or `context`.
        lengths: Distribution of the candidates' numbers of tokens.
    """

    num_rows: Count = 0
    num_documents: Count = 0
    num_skipped: dict[str, Count] = field(default_factory=Counter)
    skip_reasons: dict[str, str] = field(default_factory=dict)
    num_tokens: Count = 0
    num_chats: Count = 0
    num_prompt_tokens: Count = 0
    num_candidates: Count = 0
    num_generated: Count = 0
    num_characters: Count = 0
    nll_nano: int = 0
    stops: dict[str, Count] = field(default_factory=Counter)
    lengths: Distribution = field(default_factory=Distribution)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Convert the counts to counters, also those read from JSON."""
        self.num_skipped, self.stops = Counter(self.num_skipped), Counter(self.stops)

    def __repr__(self) -> str:
        return f"GenerateStats({self.headline})"

    def add(self, prompt: Prompt, made: Sequence[Continuation], texts: Sequence[str]) -> None:
        """Count the candidates of a row.

        Args:
            prompt: Prompt of the row.
            made: The candidates.
            texts: Their texts.
        """
        generated = [len(one.ids) for one in made]
        self.num_documents += 1
        self.num_prompt_tokens += len(prompt.ids)
        self.num_candidates += len(made)
        self.num_generated += sum(generated)
        self.num_tokens += len(prompt.ids) + sum(generated)
        self.num_characters += sum(map(len, texts))
        self.nll_nano += sum(round(-one.logprob / NANO) for one in made)
        for one in made:
            self.stops[one.stop] += 1
        self.lengths.add(np.array(generated))

    @property
    def perplexity(self) -> float:
        """Perplexity of the generated tokens under the generating model, at temperature 1; NaN if there are none."""
        if not self.num_generated:
            return math.nan
        return math.exp(min(self.nll_nano * NANO / self.num_generated, _MOST_NLL))

    @property
    def headline(self) -> str:
        """Most important figures in a few words."""
        documents = f"{self.num_documents:,} prompt{'' if self.num_documents == 1 else 's'}"
        if skipped := sum(self.num_skipped.values()):
            documents += f" ({skipped:,} skipped)"
        candidates = f"{self.num_candidates:,} candidate{'' if self.num_candidates == 1 else 's'}"
        words = f"{documents}, {candidates} of {self.num_generated:,} tokens"
        return f"{words}, perplexity {self.perplexity:.4g}" if self.num_generated else words

    def to_json(self) -> dict[str, Any]:
        """See `Statistics`."""
        return {**super().to_json(), "lengths": self.lengths.to_json()}

    def summary(self) -> dict[str, Any]:
        """See `Statistics`."""
        lengths = {f"p{100 * q:02.0f}": self.lengths.quantile(q) for q in QUANTILES}
        figures = {
            "mean_length": ratio(self.num_generated, self.num_candidates),
            "lengths": {"min": self.lengths.minimum, **lengths, "max": self.lengths.maximum},
            "perplexity": self.perplexity,
        }
        return {
            "num_rows": self.num_rows,
            "num_documents": self.num_documents,
            "num_skipped": dict(sorted(self.num_skipped.items())),
            **({"skip_reasons": self.skip_reasons} if self.skip_reasons else {}),
            "num_tokens": self.num_tokens,
            "num_chats": self.num_chats,
            "num_prompt_tokens": self.num_prompt_tokens,
            "num_candidates": self.num_candidates,
            "num_generated": self.num_generated,
            "num_characters": self.num_characters,
            "stops": dict(sorted(self.stops.items())),
            **(figures if self.num_generated else {}),
            "tokens_per_second": self.tokens_per_second,
        }
