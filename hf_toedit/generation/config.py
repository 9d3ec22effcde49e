"""How candidates are generated: the settings of decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from hf_toedit.config import BaseConfig, Share
from hf_toedit.errors import UsageError

Decoding = Literal["greedy", "sample", "beam"]
DECODINGS: tuple[Decoding, ...] = ("greedy", "sample", "beam")

Stop = Literal["eos", "limit", "context"]
"""Why a candidate ends: a token that ends texts, `max_new_tokens`, or the end of the model's context."""

STOPS: tuple[Stop, ...] = ("eos", "limit", "context")

PROMPT_TOKENS = 32
"""Tokens of a text that are its prompt, where nothing else is."""


@dataclass(frozen=True)
class GenerateConfig(BaseConfig):
    """How candidates are generated from a prompt.

    Attributes:
        num_candidates: candidates per row; of a beam search the number of beams as well.
        decoding: `greedy` takes the likeliest token, `sample` samples each token, `beam` searches with beams.
        temperature: divides the logits before sampling; None is 1 with `sample`, and must be None elsewhere.
        top_k: sample from the k likeliest tokens only; None samples from all.
        top_p: sample from the likeliest tokens that together have this probability; None samples from all. It applies
            after the temperature and `top_k`.
        max_new_tokens: tokens per candidate, at most.
        prompt_tokens: tokens of the row's text that are the prompt, from its first; None is the whole text, as a
            question to be answered.
        seed: any integer; samples depend on (seed, text, candidate, position) only.
    """

    num_candidates: Annotated[int, Meta(ge=1, le=10_000)] = 1
    decoding: Decoding = "sample"
    temperature: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    top_p: Share | None = None
    max_new_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    prompt_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = PROMPT_TOKENS
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        """Check the values and whether they go together.

        Raises:
            UsageError: they do not.
        """
        super().__post_init__()
        if self.decoding == "sample":
            object.__setattr__(self, "temperature", 1.0 if self.temperature is None else self.temperature)
            return
        for name in ("temperature", "top_k", "top_p"):
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is for sampling. Leave it out, or use --decoding sample.")
        if self.decoding == "greedy" and self.num_candidates > 1:
            raise UsageError(
                f"greedy decoding has one candidate per row, not {self.num_candidates}. Use --decoding sample or beam, "
                f"or leave --num-candidates out."
            )
